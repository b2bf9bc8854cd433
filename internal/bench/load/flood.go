package load

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// FloodOptions say how deliveries are posted: each connection sends the next
// one when the last was answered.
type FloodOptions struct {
	Addr        string // host:port
	Token       string
	Connections int
	Traffic     *Traffic
	// For is how long; deliveries under way are finished. 0 is without an end.
	For time.Duration
	// Builds is how many whole builds are sent at most; 0 is without an end.
	Builds int
}

// Flooded is what a flood came to.
type Flooded struct {
	Deliveries int64 // answered 200
	Took       time.Duration
}

// PerSecond is the rate of answers.
func (f Flooded) PerSecond() float64 { return float64(f.Deliveries) / f.Took.Seconds() }

// Flood posts deliveries, whole builds a connection. It ends at the first that
// is not answered 200, which is an error.
func Flood(ctx context.Context, o FloodOptions) (Flooded, error) {
	clients := make([]*Client, o.Connections)
	for i := range clients {
		c, err := Dial(ctx, o.Addr, o.Token)
		if err != nil {
			return Flooded{}, err
		}
		defer c.Close()
		clients[i] = c
	}
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var began, sent atomic.Int64
	start := time.Now()
	var end time.Time
	if o.For > 0 {
		end = start.Add(o.For)
	}
	var senders sync.WaitGroup
	for _, c := range clients {
		senders.Go(func() {
			for !over(running, end) && (o.Builds == 0 || began.Add(1) <= int64(o.Builds)) {
				n, err := flood(running, c, o.Traffic.Next(), end)
				sent.Add(n)
				if err != nil {
					stop(err)
				}
			}
		})
	}
	senders.Wait()
	flooded := Flooded{Deliveries: sent.Load(), Took: time.Since(start)}
	if err := context.Cause(running); err != nil {
		return flooded, err
	}
	if flooded.Deliveries == 0 {
		return flooded, errors.New("the flood posted nothing")
	}
	return flooded, nil
}

// flood posts a build's deliveries until end, and says how many were answered.
func flood(ctx context.Context, c *Client, b *Build, end time.Time) (sent int64, err error) {
	var body []byte
	for n := range b.Deliveries() {
		if over(ctx, end) {
			break
		}
		d := b.Delivery(n, body[:0])
		body = d.Body
		if err := c.Post(d); err != nil {
			return sent, err
		}
		sent++
	}
	return sent, nil
}

// over says whether there is nothing more to post; a zero end never comes.
func over(ctx context.Context, end time.Time) bool {
	return ctx.Err() != nil || !end.IsZero() && !time.Now().Before(end)
}
