package stream_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/build-tracker/build-tracker/stream"
)

// BenchmarkIdleWatcherMemory reports what a watcher of a build of its own takes
// while it waits, besides the goroutine that called Next.
func BenchmarkIdleWatcherMemory(b *testing.B) {
	const watchers = 10_000
	for b.Loop() {
		r := newRig(b, nil)
		sources := make([]*stream.EventSource, watchers)
		ids := make([]string, watchers)
		for i := range ids {
			ids[i] = fmt.Sprintf("0190-%032d", i)
			r.store.add(ids[i], "build.scheduled", "{}")
		}
		// All see the first event, and wait for the next; then their goroutines end,
		// which leaves what the sources themselves take. The first round has the
		// runtime make what it keeps for that many goroutines.
		round := func() {
			ctx, cancel := context.WithCancel(b.Context())
			var seen, ended sync.WaitGroup
			for i := range watchers {
				seen.Add(1)
				ended.Go(func() {
					if sources[i] == nil {
						seen.Done()
						<-ctx.Done()
						return
					}
					_, err := sources[i].Next(ctx)
					seen.Done()
					if err == nil {
						_, err = sources[i].Next(ctx)
					}
					if !errors.Is(err, context.Canceled) {
						b.Errorf("Next returned %v", err)
					}
				})
			}
			seen.Wait()
			for r.Stats().BatchBytes > 0 {
				runtime.Gosched()
			}
			cancel()
			ended.Wait()
		}
		round()
		before := heap()
		for i := range sources {
			sources[i] = r.build(b, ids[i], 0)
		}
		round()
		b.ReportMetric(float64(heap()-before)/watchers, "B/watcher")
		for _, s := range sources {
			s.Close()
		}
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkCatchUp reads the 100,000 events of a build, with the store's reads
// alone beside it.
func BenchmarkCatchUp(b *testing.B) {
	const events = 100_000
	r := newRig(b, nil)
	for range events {
		r.store.add("b", "job.started", `{"event":"job.started"}`)
	}
	r.store.add("b", stream.TypeStatus, isPassed)
	report := func(b *testing.B) {
		b.ReportMetric(float64(events)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
	}
	b.Run("source", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s := r.build(b, "b", 0)
			count := 0
			for _, err := range s.All(b.Context()) {
				if err != nil {
					b.Fatal(err)
				}
				count++
			}
			if count != events+1 {
				b.Fatalf("%d events", count)
			}
			s.Close()
		}
		report(b)
	})
	b.Run("store", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for next := int64(0); next <= events; {
				page, err := r.store.ReadBuild(b.Context(), "b", next, 1000)
				if err != nil {
					b.Fatal(err)
				}
				next += int64(len(page))
			}
		}
		report(b)
	})
}
