package stream_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/build-tracker/build-tracker/stream"
)

func TestWatchersOfABuildShareItsReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		const watchers, events = 200, 50
		var seen atomic.Int64
		var all sync.WaitGroup
		for range watchers {
			s := r.build(t, "b", 0)
			all.Go(func() {
				defer s.Close()
				for _, err := range s.All(t.Context()) {
					if err != nil {
						t.Error(err)
					}
					seen.Add(1)
				}
			})
		}
		synctest.Wait()
		if got := r.store.count("NextSeqs") + r.store.count("LastTold"); got > 2 {
			t.Errorf("%d queries to open", got)
		}
		opened := r.store.count("ReadBuild")
		for i := range int64(events) {
			r.append("b", "job.started", "{}")
			synctest.Wait()
			if got := seen.Load(); got != (i+1)*watchers {
				t.Fatalf("after %d appends the watchers have seen %d events", i+1, got)
			}
		}
		if got := r.store.count("ReadBuild") - opened; got != events {
			t.Errorf("%d reads for %d appends", got, events)
		}
		time.Sleep(3 * time.Second)
		if got := r.store.count("ReadBuild") - opened; got != events {
			t.Errorf("%d reads after looking at the head", got-events)
		}
		r.append("b", stream.TypeStatus, isPassed)
		all.Wait()
	})
}

func TestSlowWatcherHarmsNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		const events = 1500
		slow, quick := r.build(t, "b", 0), r.build(t, "b", 0)
		defer slow.Close()
		defer quick.Close()
		synctest.Wait()
		opened := r.store.count("ReadBuild")
		data := strings.Repeat("x", 16<<10)
		var window int64
		for i := range int64(events) {
			r.append("b", "job.started", data)
			if e, err := quick.Next(t.Context()); err != nil || e.Seq != i {
				t.Fatalf("quick: seq %d, %v; want %d", e.Seq, err, i)
			}
			if i == 0 {
				check(t, "slow", []string{"0 job.started"}, drain(t, slow)[:1])
			}
			window = max(window, r.Stats().WindowBytes)
		}
		if got := r.store.count("ReadBuild") - opened; got != events {
			t.Errorf("%d reads for %d appends", got, events)
		}
		if window == 0 || window > 1<<20 {
			t.Errorf("up to %d bytes were kept for the slow one", window)
		}
		r.append("b", stream.TypeStatus, isPassed)
		var batches int64
		want := int64(1)
		for e, err := range slow.All(t.Context()) {
			if err != nil || e.Seq != want {
				t.Fatalf("slow: seq %d, %v; want %d", e.Seq, err, want)
			}
			want++
			batches = max(batches, r.Stats().BatchBytes)
		}
		if want != events+1 {
			t.Errorf("slow ended before seq %d", want)
		}
		// The first batch has an unknown size, then there are two at a time.
		if batches == 0 || batches > 4<<20 {
			t.Errorf("up to %d bytes were read ahead", batches)
		}
		// It went through what it had missed with few reads, and back to the window.
		if got := r.store.count("ReadBuild") - opened - events; got > 40 {
			t.Errorf("%d reads", got)
		}
		if got := r.Stats(); got.WindowBytes > 1<<20 || got.BatchBytes > 0 {
			t.Errorf("kept: %+v", got)
		}
	})
}

func TestWindowHoldsFewEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		s := r.build(t, "b", 0)
		defer s.Close()
		synctest.Wait()
		for range 1000 {
			r.append("b", "job.started", "")
			synctest.Wait()
		}
		if got := r.Stats().WindowBytes; got != 256*256 {
			t.Errorf("%d bytes are kept", got)
		}
	})
}

func TestWindowIsKeptForWhoNeedsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		slow, quick := r.build(t, "b", 0), r.build(t, "b", 0)
		defer slow.Close()
		synctest.Wait()
		r.append("b", "job.started", "{}")
		r.append("b", "job.finished", "{}")
		want := []string{"0 job.started", "1 job.finished", "waits"}
		check(t, "quick", want, drain(t, quick))
		quick.Close()
		reads := r.store.count("ReadBuild")
		check(t, "slow", want, drain(t, slow))
		if got := r.store.count("ReadBuild"); got != reads {
			t.Errorf("%d reads", got-reads)
		}
		if got := r.Stats().WindowBytes; got != 0 {
			t.Errorf("%d bytes are kept for nobody", got)
		}
	})
}

func TestOneBatchIsReadAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		const events = 3000
		for range events {
			r.append("b", "job.started", "{}")
		}
		s := r.build(t, "b", 0)
		defer s.Close()
		for seq := range int64(events) {
			if e, err := s.Next(t.Context()); err != nil || e.Seq != seq {
				t.Fatalf("seq %d, %v; want %d", e.Seq, err, seq)
			}
			if seq == 0 {
				synctest.Wait()
				if got := r.store.count("ReadBuild"); got != 2 {
					t.Errorf("%d batches were read for the first event", got)
				}
			}
		}
		if got := r.store.count("ReadBuild"); got > 6 {
			t.Errorf("%d reads for %d events", got, events)
		}
	})
}

// A read that ends when nobody watches any more leaves nothing behind.
func TestReadThatComesTooLateIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		followed := r.build(t, "followed", 0)
		check(t, "followed", []string{"waits"}, drain(t, followed))
		r.append("stored", "job.started", "{}")
		stored := r.build(t, "stored", 0)
		synctest.Wait()
		r.store.slow(time.Second)
		go func() {
			if _, err := stored.Next(t.Context()); !errors.Is(err, stream.ErrClosed) {
				t.Errorf("Next returned %v", err)
			}
		}()
		r.append("followed", "job.started", "{}")
		time.Sleep(500 * time.Millisecond)
		stored.Close()
		followed.Close()
		time.Sleep(time.Minute)
		if got := r.Stats(); got != (stream.FollowerStats{}) {
			t.Errorf("left: %+v", got)
		}
	})
}

func TestWindowsStayWithinTheMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const memory, builds, events = 2 << 20, 30, 40
		r := newRig(t, func(o *stream.FollowerOptions) { o.Memory = memory })
		var sources []*stream.EventSource
		for i := range builds {
			sources = append(sources, r.build(t, fmt.Sprint(i), 0))
		}
		synctest.Wait()
		data := strings.Repeat("x", 16<<10)
		var most int64
		for range events {
			for i := range builds {
				r.append(fmt.Sprint(i), "job.started", data)
			}
			time.Sleep(time.Second) // so many reads at once are put off a little
			most = max(most, r.Stats().WindowBytes)
		}
		if most < memory/2 || most > memory {
			t.Errorf("up to %d bytes were kept", most)
		}
		for i, s := range sources {
			for seq := range int64(events) {
				if e, err := s.Next(t.Context()); err != nil || e.Seq != seq {
					t.Fatalf("build %d: seq %d, %v; want %d", i, e.Seq, err, seq)
				}
			}
			check(t, "then", []string{"waits"}, drain(t, s))
		}
		if got := r.Stats(); got.WindowBytes > 0 || got.BatchBytes > 0 {
			t.Errorf("kept although all have everything: %+v", got)
		}
		for _, s := range sources {
			s.Close()
		}
	})
}

func TestSourcesReadLessWhenMemoryIsScarce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const memory = 1 << 20
		r := newRig(t, func(o *stream.FollowerOptions) { o.Memory = memory })
		data := strings.Repeat("x", 32<<10)
		for range 200 {
			r.append("b", "job.started", data)
		}
		for range 30 {
			s := r.build(t, "b", 0)
			defer s.Close()
			if e, err := s.Next(t.Context()); err != nil || e.Seq != 0 {
				t.Fatal(e, err)
			}
			synctest.Wait()
		}
		// One took a first batch of 4 MiB, all others half a MiB each.
		if got := r.Stats().BatchBytes; got > 24<<20 {
			t.Errorf("%d bytes in batches", got)
		}
	})
}

func TestFeedsGoWithTheirWatchers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		var sources []*stream.EventSource
		for i := range 1000 {
			sources = append(sources, r.build(t, fmt.Sprint(i/2), 0))
		}
		sources = append(sources, r.whole(t, stream.Filter{}, 0))
		if got := r.Stats(); got.Watchers != 1001 || got.Feeds != 501 {
			t.Errorf("open: %+v", got)
		}
		if got := r.channels.Load(); got != 501 {
			t.Errorf("open: %d channels", got)
		}
		var all sync.WaitGroup
		for i, s := range sources {
			all.Go(func() {
				if e, err := s.Next(t.Context()); !errors.Is(err, stream.ErrClosed) {
					t.Errorf("Next returned %v, %v", e, err)
				}
			})
			if i%3 == 0 {
				s.Close()
			}
		}
		synctest.Wait()
		for _, s := range sources {
			s.Close()
		}
		all.Wait()
		if got := r.Stats(); got != (stream.FollowerStats{}) {
			t.Errorf("closed: %+v", got)
		}
		if got := r.channels.Load(); got != 0 {
			t.Errorf("closed: %d channels", got)
		}
		calls := r.store.count("Head")
		time.Sleep(time.Minute)
		if got := r.store.count("Head"); got != calls {
			t.Errorf("%d queries while nobody watches", got-calls)
		}
	})
}

func TestMetricsAreTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var reads, events, lags atomic.Int64
		var lag atomic.Int64
		r := newRig(t, func(o *stream.FollowerOptions) {
			o.Metrics = stream.FollowerMetrics{
				Read: func(_ time.Duration, n int, _ error) { reads.Add(1); events.Add(int64(n)) },
				Lag:  func(d time.Duration) { lags.Add(1); lag.Store(int64(d)) },
			}
		})
		r.append("b", "build.scheduled", "{}")
		s := r.build(t, "b", 0)
		defer s.Close()
		drain(t, s)
		r.store.slow(20 * time.Millisecond)
		r.append("b", "build.started", "{}")
		drain(t, s)
		if reads.Load() != 2 || events.Load() != 2 {
			t.Errorf("%d reads of %d events", reads.Load(), events.Load())
		}
		if lags.Load() != 1 || time.Duration(lag.Load()) != 20*time.Millisecond {
			t.Errorf("%d lags, the last %v", lags.Load(), time.Duration(lag.Load()))
		}
	})
}
