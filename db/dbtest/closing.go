package dbtest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/build-tracker/build-tracker/db"
)

var closing = map[string]func(*testing.T, db.Store){
	"ping answers":                         func(t *testing.T, s db.Store) { noError(t, s.Ping(t.Context())) },
	"a closed store says so":               testClosed,
	"close commits or refuses, never both": testCloseUnderLoad,
}

func testClosed(t *testing.T, s db.Store) {
	mustAppend(t, s, delivery("a", 0))
	noError(t, s.Close())
	noError(t, s.Close())
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"append": func() error { _, err := s.Append(ctx, delivery("a", 1)); return err },
		"head":   func() error { _, err := s.Head(ctx); return err },
		"read":   func() error { _, err := s.ReadAll(ctx, db.ReadQuery{}); return err },
		"cursor": func() error { _, err := s.Cursor(ctx, "tracker"); return err },
		"commit": func() error { return s.Commit(ctx, db.Batch{Cursor: "tracker", To: 1}) },
		"builds": func() error { _, err := s.Builds(ctx, []string{"a"}); return err },
		"branch": func() error { _, err := s.Branch(ctx, []db.BranchQuery{{}}); return err },
		"claim":  func() error { _, err := s.Claim(ctx, 1, time.Second); return err },
		"extend": func() error { return s.Extend(ctx, db.Notice{}, time.Second) },
		"ping":   func() error { return s.Ping(ctx) },
	} {
		if err := call(); !errors.Is(err, db.ErrClosed) {
			t.Errorf("%s: error %v, want %v", name, err, db.ErrClosed)
		}
	}
}

// testCloseUnderLoad: every writer gets a position or ErrClosed.
func testCloseUnderLoad(t *testing.T, s db.Store) {
	const writers = 16
	var started, group sync.WaitGroup
	var refused atomic.Int64
	started.Add(writers)
	for w := range writers {
		group.Go(func() {
			for n := 0; ; n++ {
				_, err := s.Append(t.Context(), delivery("a", w+n*writers))
				if n == 0 {
					started.Done()
				}
				if err != nil {
					if wantError(t, err, db.ErrClosed); errors.Is(err, db.ErrClosed) {
						refused.Add(1)
					}
					return
				}
			}
		})
	}
	started.Wait()
	noError(t, s.Close())
	group.Wait()
	if refused.Load() != writers {
		t.Errorf("%d of %d writers were told that the store is closed", refused.Load(), writers)
	}
}
