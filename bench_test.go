package buildtracker

import (
	"fmt"
	"math/rand"
	"slices"
	"sync"
	"testing"

	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
)

// BenchmarkFold folds recorded events into builds.
func BenchmarkFold(b *testing.B) {
	for _, s := range []stores{{name: "embedded"}, {name: "postgres", database: "yes"}} {
		b.Run(s.name, func(b *testing.B) {
			r := newRig(b, s.another(b))
			defer r.close()
			var deliveries []traffic.Delivery
			for n := 0; len(deliveries) < b.N; n++ {
				world := traffic.New(rand.New(rand.NewSource(int64(n))).Intn, traffic.Options{Builds: 700, Triggers: true, Padding: 4000, Name: fmt.Sprint("w", n, "-")})
				rand.New(rand.NewSource(1)).Shuffle(len(world.Deliveries), func(i, j int) {
					world.Deliveries[i], world.Deliveries[j] = world.Deliveries[j], world.Deliveries[i]
				})
				deliveries = append(deliveries, world.Deliveries...)
			}
			deliveries = deliveries[:b.N]
			var recording sync.WaitGroup
			for part := range slices.Chunk(deliveries, max(1, len(deliveries)/64)) {
				recording.Go(func() {
					for _, d := range part {
						if _, err := appendDelivery(b.Context(), r.db, d); err != nil {
							b.Error(err)
						}
					}
				})
			}
			recording.Wait()
			b.ResetTimer()
			r.fold()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
