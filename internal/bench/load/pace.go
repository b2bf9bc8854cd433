package load

import (
	"context"
	"sync"
	"time"
)

// PaceOptions say how deliveries are posted at times that are set before,
// whatever the answers do.
type PaceOptions struct {
	Addr  string // host:port
	Token string
	// PerSecond is how many begin each second.
	PerSecond   int
	Connections int
	// Next makes the n-th delivery, from 0, in one goroutine and in time.
	Next  func(n int) Delivery
	Count int
	// Answered is told, by many goroutines, when each was answered 200.
	Answered func(n int, at time.Time)
}

// Paced is what came of it.
type Paced struct {
	// Late is the longest that a delivery began after its time, because all
	// connections were busy.
	Late time.Duration
}

// Pace posts deliveries. It ends at the first that is not answered 200, which is
// an error.
func Pace(ctx context.Context, o PaceOptions) (Paced, error) {
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	type due struct {
		n        int
		delivery Delivery
		at       time.Time
	}
	queue := make(chan due, o.Count)
	var mu sync.Mutex
	var paced Paced
	var posting sync.WaitGroup
	for range o.Connections {
		c, err := Dial(ctx, o.Addr, o.Token)
		if err != nil {
			stop(err)
			break
		}
		posting.Go(func() {
			defer c.Close()
			for d := range queue {
				if running.Err() != nil {
					continue
				}
				late := time.Since(d.at)
				if err := c.Post(d.delivery); err != nil {
					stop(err)
					continue
				}
				o.Answered(d.n, time.Now())
				mu.Lock()
				paced.Late = max(paced.Late, late)
				mu.Unlock()
			}
		})
	}
	began := time.Now()
	for n := range o.Count {
		d := due{n, o.Next(n), began.Add(time.Duration(n) * time.Second / time.Duration(o.PerSecond))}
		if !until(running, d.at) {
			break
		}
		queue <- d
	}
	close(queue)
	posting.Wait()
	return paced, context.Cause(running)
}

// until waits for a time and says whether ctx still lives.
func until(ctx context.Context, at time.Time) bool {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
