package traffic

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Poster posts deliveries as Buildkite would, but until they are taken.
type Poster struct {
	// Target returns the base URL of a server; it is asked before each try.
	Target func() string
	// Token is sent along; empty sends none.
	Token string
	// Workers post at the same time. Deliveries of one build keep their order.
	Workers int
	// Pace, if not 0, is how long a worker waits after each delivery.
	Pace time.Duration
	// Heard, if not nil, is told what each try came to, by many goroutines.
	Heard func(Answer)

	acked  atomic.Int64
	client http.Client
}

// Answer is what a try to post a delivery came to.
type Answer struct {
	Status     int // 0 when there was no answer
	RetryAfter string
	Body       string
	Took       time.Duration
	Err        error // why there was no answer, or no whole one
}

func (a Answer) String() string {
	if a.Err != nil {
		return fmt.Sprintf("no answer after %s: %v", a.Took, a.Err)
	}
	return fmt.Sprintf("%d after %s, Retry-After %q: %s", a.Status, a.Took, a.RetryAfter, a.Body)
}

// Acked returns how many deliveries were answered 200 so far.
func (p *Poster) Acked() int64 { return p.acked.Load() }

// Post posts the deliveries and returns when all were answered 200. Another
// answer, or none, is tried again; but one that says the delivery is wrong.
func (p *Poster) Post(ctx context.Context, deliveries []Delivery) error {
	p.client.Timeout = 10 * time.Second
	lanes := make([][]Delivery, p.Workers)
	lane := make(map[string]int)
	for _, d := range deliveries {
		if _, known := lane[d.BuildID]; !known {
			lane[d.BuildID] = len(lane) % p.Workers
		}
		lanes[lane[d.BuildID]] = append(lanes[lane[d.BuildID]], d)
	}
	var posting sync.WaitGroup
	errs := make(chan error, p.Workers)
	for _, l := range lanes {
		posting.Go(func() {
			for _, d := range l {
				if err := p.one(ctx, d); err != nil {
					errs <- err
					return
				}
				if !pause(ctx, p.Pace) {
					errs <- ctx.Err()
					return
				}
			}
		})
	}
	posting.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

func (p *Poster) one(ctx context.Context, d Delivery) error {
	for {
		a := p.Try(ctx, d)
		switch {
		case a.Err == nil && a.Status == http.StatusOK:
			p.acked.Add(1)
			return nil
		case a.Err == nil && a.Status < 500:
			return fmt.Errorf("%s was refused: %v", d.Event, a)
		}
		if !pause(ctx, 20*time.Millisecond) {
			return fmt.Errorf("%s was not taken before the end: %v", d.Event, a)
		}
	}
}

// Try posts a delivery once.
func (p *Poster) Try(ctx context.Context, d Delivery) Answer {
	began := time.Now()
	a := p.post(ctx, d)
	a.Took = time.Since(began)
	if p.Heard != nil {
		p.Heard(a)
	}
	return a
}

func (p *Poster) post(ctx context.Context, d Delivery) Answer {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.Target()+"/buildkite", bytes.NewReader(d.Body))
	if err != nil {
		return Answer{Err: err}
	}
	r.Header.Set("X-Buildkite-Event", d.Event)
	if p.Token != "" {
		r.Header.Set("X-Buildkite-Token", p.Token)
	}
	res, err := p.client.Do(r)
	if err != nil {
		return Answer{Err: err}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<16))
	return Answer{Status: res.StatusCode, RetryAfter: res.Header.Get("Retry-After"), Body: string(body), Err: err}
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
