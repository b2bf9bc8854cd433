package stream

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// countedRead is a read that takes no time.
type countedRead struct {
	of     line
	ticket ticket
	ran    *sync.WaitGroup
}

func (c *countedRead) run(context.Context) { c.ran.Done() }
func (c *countedRead) line() line          { return c.of }
func (c *countedRead) place() *ticket      { return &c.ticket }

// TestReadsOfACrowdArePutOff has reads that take no time: what passes is how long
// they were put off.
func TestReadsOfACrowdArePutOff(t *testing.T) {
	t.Parallel()
	const count = 4
	for name, tc := range map[string]struct {
		of       line
		reads    int
		ago      time.Duration // the latest run
		min, max time.Duration
	}{
		"few":                  {freshLine, crowd - 1, 0, 0, 0},
		"a hundred":            {freshLine, 100, 0, 50 * time.Millisecond, moment},
		"a thousand":           {freshLine, 1000, 0, 50 * time.Millisecond, 2 * moment},
		"that last ran before": {freshLine, 1000, moment, 0, 0},
		"of who catches up":    {backlogLine, 1000, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newReaders()
				var ran, working sync.WaitGroup
				ran.Add(tc.reads)
				for range tc.reads {
					r.request(&countedRead{of: tc.of, ticket: ticket{ended: time.Now().Add(-tc.ago)}, ran: &ran})
				}
				ctx, cancel := context.WithCancel(t.Context())
				began := time.Now()
				for i := range count {
					working.Go(func() { r.work(ctx, line(i%2)) })
				}
				ran.Wait()
				if took := time.Since(began); took < tc.min || took > tc.max {
					t.Errorf("%d reads took %s, want %s to %s", tc.reads, took, tc.min, tc.max)
				}
				cancel()
				r.close()
				working.Wait()
			})
		})
	}
}
