package dbtest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/stream"
)

// Order has many writers append to stores that share one stream, while readers
// follow it by position. It checks that positions are unique, that a reader who
// never looks back misses nothing, that time does not run backwards, and that
// seqs have no gaps.
func Order(t *testing.T, stores ...db.Store) {
	t.Helper()
	const writers, builds, each = 12, 5, 40
	var group, readers sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for n := range each {
				d := delivery(fmt.Sprintf("build-%d", (w+n)%builds), w*each+n)
				if _, err := stores[w%len(stores)].Append(t.Context(), d); err != nil {
					t.Error(err)
				}
			}
		})
	}
	written := make(chan struct{})
	for _, s := range stores {
		readers.Go(func() { follow(t, s, written, writers*each) })
	}
	group.Wait()
	close(written)
	readers.Wait()
	for b := range builds {
		checkSeqs(t, stores[0], fmt.Sprintf("build-%d", b))
	}
}

// follow reads until everything that was written before written closed is read.
func follow(t *testing.T, s db.Store, written <-chan struct{}, want int) {
	var last stream.Event
	seen := 0
	for {
		done := false
		select {
		case <-written:
			done = true
		default:
		}
		events, err := s.ReadAll(t.Context(), db.ReadQuery{After: last.Position, Limit: 7})
		if err != nil {
			t.Error(err)
			return
		}
		for _, e := range events {
			if e.Position <= last.Position || e.Time.Before(last.Time) {
				t.Errorf("position %d at %v follows %d at %v", e.Position, e.Time, last.Position, last.Time)
			}
			last = e
		}
		seen += len(events)
		if done && len(events) == 0 {
			break
		}
	}
	if seen != want {
		t.Errorf("a reader saw %d events, want %d", seen, want)
	}
}

// checkSeqs reads a build in pages: seqs count from 0, and positions grow.
func checkSeqs(t *testing.T, s db.Store, build string) {
	t.Helper()
	var next, position int64
	for {
		events := must(s.ReadBuild(t.Context(), build, next, 11))(t)
		if len(events) == 0 {
			break
		}
		for _, e := range events {
			if e.Seq != next || e.Position <= position {
				t.Fatalf("%s: seq %d at %d, want seq %d after %d", build, e.Seq, e.Position, next, position)
			}
			next, position = next+1, e.Position
		}
	}
	if next == 0 {
		t.Errorf("%s has no events", build)
	}
}
