package db_test

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/internal/testenv"
)

// BenchmarkAppend has producers that each wait for their answer, as webhook
// handlers do.
func BenchmarkAppend(b *testing.B) {
	for _, producers := range []int{32, 256} {
		b.Run(fmt.Sprintf("producers=%d", producers), func(b *testing.B) {
			store, err := db.OpenPostgres(b.Context(), db.PostgresOptions{URL: testenv.Postgres(b)})
			if err != nil {
				b.Fatal(err)
			}
			defer store.Close()
			benchmarkAppend(b, store, producers)
		})
	}
}

func benchmarkAppend(b *testing.B, store *db.Postgres, producers int) {
	// 6 KiB that compress to about a third, as webhooks do.
	random := make([]byte, 1<<10)
	_, _ = rand.NewChaCha8([32]byte{}).Read(random)
	payload := fmt.Appendf(nil, `{"event":"job.finished","job":{"name":"%s"},"random":"%x"}`, strings.Repeat("some step, ", 400), random)
	var next atomic.Int64
	var group sync.WaitGroup
	b.ResetTimer()
	for range producers {
		group.Go(func() {
			for {
				n := next.Add(1)
				if n > int64(b.N) {
					return
				}
				if _, err := store.Append(b.Context(), db.Delivery{
					Key:          sha256.Sum256(fmt.Append(nil, n)),
					Organization: "acme", Pipeline: "web", Number: n / 20, BuildID: fmt.Sprintf("build-%d", n/20),
					Type: "job.finished", Data: payload,
				}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
