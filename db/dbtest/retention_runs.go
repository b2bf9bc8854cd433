package dbtest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/build-tracker/build-tracker/db"
)

func testRetainAtOnce(t *testing.T, s db.Store, aging Aging) {
	const days = 6
	for n := range days {
		mustAppend(t, s, delivery(fmt.Sprint(n), 0))
		aging(t, 1)
	}
	aging(t, 100)
	readAll(t, s)
	var dropped, busy atomic.Int64
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			got, err := s.Retain(t.Context(), query())
			if err != nil {
				t.Error(err)
			}
			for _, d := range got.Days {
				dropped.Add(d.Events)
			}
			if got.Elsewhere {
				busy.Add(1)
			}
		})
	}
	group.Wait()
	if dropped.Load() != days || busy.Load() == 4 {
		t.Errorf("%d events dropped, want %d; %d of 4 calls found another", dropped.Load(), days, busy.Load())
	}
	wantPositions(t, s)
}

// testRetainCutOff gives call after call a little more time. Whatever point each
// comes to, what it leaves is told apart from what is whole.
func testRetainCutOff(t *testing.T, s db.Store, aging Aging) {
	const days, each = 8, 40
	for d := range days {
		var group sync.WaitGroup
		for n := range each {
			group.Go(func() { mustAppend(t, s, delivery(fmt.Sprintf("%d-%d", d, n/4), n)) })
		}
		group.Wait()
		aging(t, 1)
	}
	aging(t, 100)
	mustAppend(t, s, delivery("young", 0))
	readAll(t, s)
	var reported int64
	for allowed := time.Millisecond; ; allowed += allowed / 16 {
		if allowed > time.Minute {
			t.Fatal("it never comes to its end")
		}
		end := time.Now().Add(allowed)
		ctx, cancel := context.WithDeadline(t.Context(), end)
		got, err := s.Retain(ctx, query())
		cut := !time.Now().Before(end) // a connection may notice before ctx does
		cancel()
		for _, d := range got.Days {
			reported += d.Events
		}
		if err == nil && !got.Elsewhere {
			break
		}
		if err != nil && !cut {
			t.Fatal(err)
		}
		upTo := must(s.Dropped(t.Context()))(t)
		left := positions(must(s.ReadAll(t.Context(), db.ReadQuery{Limit: 10000}))(t))
		for at := upTo + 1; at <= days*each+1; at++ {
			if !slices.Contains(left, at) {
				t.Fatalf("event %d is missing, dropped up to %d", at, upTo)
			}
		}
	}
	wantPositions(t, s, days*each+1)
	wantDropped(t, s, days*each)
	if reported > days*each {
		t.Errorf("%d events reported of %d", reported, days*each)
	}
	wantDays(t, retain(t, s, query()))
}

func testRetainMeanwhile(t *testing.T, s db.Store, aging Aging) {
	const days, writers = 10, 4
	for d := range days {
		for n := range 3 {
			mustAppend(t, s, delivery(fmt.Sprint(d), n))
		}
		aging(t, 1)
	}
	aging(t, 100)
	var known []string
	for d := range days {
		known = append(known, fmt.Sprint(d))
	}
	readAll(t, s, known...)

	stop := make(chan struct{})
	var appended atomic.Int64
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				// Of old builds too: they come to stand in today's partition.
				id := fmt.Sprint(n % (2 * days))
				d := delivery(id, 1000+n*writers+w)
				if _, err := s.Append(t.Context(), d); err != nil {
					t.Errorf("append: %v", err)
					return
				}
				appended.Add(1)
				if _, err := s.ReadBuild(t.Context(), id, 0, 1000); err != nil {
					t.Errorf("read build: %v", err)
					return
				}
				if _, err := s.ReadAll(t.Context(), db.ReadQuery{After: int64(n)}); err != nil {
					t.Errorf("read all: %v", err)
					return
				}
			}
		})
	}
	var gone int64
	for gone < 3*days {
		// The cursor follows, so that what came just before a day was sealed does
		// not keep it.
		at := must(s.Cursor(t.Context(), "tracker"))(t).Position
		commit(t, s, at, must(s.Head(t.Context()))(t), db.Batch{})
		got, err := s.Retain(t.Context(), query())
		if err != nil {
			t.Error(err)
			break
		}
		for _, d := range got.Days {
			gone += d.Events
		}
	}
	close(stop)
	group.Wait()
	var read int64
	for after := int64(0); ; {
		events := must(s.ReadAll(t.Context(), db.ReadQuery{After: after}))(t)
		if len(events) == 0 {
			break
		}
		read += int64(len(events))
		after = events[len(events)-1].Position
	}
	if want := 3*days + appended.Load() - gone; read != want {
		t.Errorf("%d events are left, want %d", read, want)
	}
}
