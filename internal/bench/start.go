package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/build-tracker/build-tracker/internal/bench/child"
	"github.com/build-tracker/build-tracker/internal/bench/measure"
)

// start measures from the start of the process until it says that it can take
// deliveries.
func (e *env) start(ctx context.Context) ([]measure.Line, error) {
	builds := full(e, 100_000, 10_000)
	for _, store := range []string{embedded, postgres} {
		if e.kept[store].builds == builds {
			continue
		}
		if _, err := e.fill(ctx, store, builds); err != nil {
			return nil, err
		}
	}
	samples, err := e.alternate(ctx, "start",
		side{"empty, embedded", func(ctx context.Context, _ int) (float64, error) { return e.startEmpty(ctx, embedded) }},
		side{"empty, PostgreSQL", func(ctx context.Context, _ int) (float64, error) { return e.startEmpty(ctx, postgres) }},
		side{"full, embedded", func(ctx context.Context, _ int) (float64, error) { return e.startOn(ctx, e.kept[embedded]) }},
		side{"full, PostgreSQL", func(ctx context.Context, _ int) (float64, error) { return e.startOn(ctx, e.kept[postgres]) }},
	)
	if err != nil {
		return nil, err
	}
	with := "start to ready, with " + thousands(builds) + " builds, "
	return []measure.Line{
		{Name: "start to ready, empty, embedded", Unit: measure.Seconds, Ours: samples[0], Target: measure.Below(0.3)},
		{Name: "start to ready, empty, " + postgres, Unit: measure.Seconds, Ours: samples[1], Target: measure.Below(0.3)},
		{Name: with + embedded, Unit: measure.Seconds, Ours: samples[2], Target: measure.Below(2)},
		{Name: with + postgres, Unit: measure.Seconds, Ours: samples[3]},
	}, nil
}

func (e *env) startEmpty(ctx context.Context, store string) (_ float64, err error) {
	f, err := e.empty(ctx, store)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, e.remove(ctx, f)) }()
	return e.startOn(ctx, f)
}

func (e *env) startOn(ctx context.Context, f filled) (_ float64, err error) {
	server, err := e.serve(ctx, "start", e.environ(f)...)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	ready, err := awaitReady(ctx, server)
	return ready.Sub(server.Started).Seconds(), err
}

// awaitReady returns when a server that listens first answered that it is ready.
func awaitReady(ctx context.Context, server *child.Process) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+server.Addr+"/-/readyz", nil)
	if err != nil {
		return time.Time{}, err
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return time.Time{}, fmt.Errorf("ask whether the server is ready: %w", err)
		}
		res.Body.Close()
		if res.StatusCode == http.StatusOK {
			return time.Now(), nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("the server is not ready: it answers %s", res.Status)
		}
	}
}
