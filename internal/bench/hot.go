package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/build-tracker/build-tracker/internal/bench/load"
	"github.com/build-tracker/build-tracker/internal/bench/measure"
)

const (
	hotSenders = 8
	// burstsPerBuild keeps a build at a hundred jobs.
	burstsPerBuild = 12
	// lookEvery is how often the state is looked at, and so how exact the times are.
	lookEvery    = 2 * time.Millisecond
	burstTimeout = 30 * time.Second
)

// hot has 8 senders post to one build at once, and looks for each delivery's job
// in the build until it is there; then comes the next burst.
func (e *env) hot(ctx context.Context) (_ []measure.Line, err error) {
	database, err := e.stores.NewDatabase(ctx, "")
	if err != nil {
		return nil, err
	}
	if err := e.stores.WipeRedis(ctx); err != nil {
		return nil, err
	}
	ours, err := e.serve(ctx, "hot", "DATABASE_URL="+database, "REDIS_URL="+e.stores.Redis())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ours.Stop(), e.stores.Drop(context.WithoutCancel(ctx), database)) }()
	locked, err := e.serveBaseline(ctx, roleLocked, "REDIS_URL="+e.stores.Redis())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, locked.Stop()) }()

	traffic, err := load.NewTraffic(load.TrafficOptions{Seed: 4, Shape: load.Shape{Jobs: hotSenders * burstsPerBuild, Finishes: true}})
	if err != nil {
		return nil, err
	}
	bursts := full(e, 48, 6)
	measured := func(addr string, path func(*load.Build) string) func(context.Context, int) (float64, error) {
		return func(ctx context.Context, round int) (float64, error) {
			b := burster{addr: addr, path: path, traffic: traffic}
			if round == 0 {
				return b.p99(ctx, 3)
			}
			return b.p99(ctx, bursts)
		}
	}
	samples, err := e.alternate(ctx, "hot",
		side{"ours", measured(ours.Addr, func(b *load.Build) string {
			return fmt.Sprintf("/api/builds/%s/%s/%d", b.Organization, b.Pipeline, b.Number)
		})},
		side{"baseline", measured(locked.Addr, func(b *load.Build) string { return "/builds/" + b.ID })},
	)
	if err != nil {
		return nil, err
	}
	return []measure.Line{{
		Name: "one hot build, 8 senders at once, answer to state, p99", Unit: measure.Milliseconds,
		Ours: samples[0], Baseline: samples[1], Target: measure.AtMost(0.1),
		Notes: []string{fmt.Sprintf("%d deliveries a round", bursts*hotSenders)},
	}}, nil
}

// burster posts bursts to one build after another.
type burster struct {
	addr    string
	path    func(*load.Build) string // where a build is shown
	traffic *load.Traffic
}

// p99 posts bursts and returns how long after its answer a delivery is in the
// state, in milliseconds.
func (b *burster) p99(ctx context.Context, bursts int) (_ float64, err error) {
	var clients []*load.Client
	defer func() {
		for _, c := range clients {
			err = errors.Join(err, c.Close())
		}
	}()
	for range hotSenders + 1 {
		c, err := load.Dial(ctx, b.addr, webhookToken)
		if err != nil {
			return 0, err
		}
		clients = append(clients, c)
	}
	var all []time.Duration
	var build *load.Build
	for n := range bursts {
		k := n % burstsPerBuild
		if k == 0 {
			build = b.traffic.Next()
		}
		deliveries := make([]load.Delivery, hotSenders)
		for i := range deliveries {
			deliveries[i] = build.Delivery(k*hotSenders+i, nil)
		}
		took, err := burst(ctx, clients, deliveries, b.path(build))
		if err != nil {
			return 0, err
		}
		all = append(all, took...)
	}
	return milliseconds(measure.Percentile(99, all)), nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// burst posts deliveries at once and returns for each how long after its answer
// it showed at path; 0 when it did before. The last client looks.
func burst(ctx context.Context, clients []*load.Client, deliveries []load.Delivery, path string) ([]time.Duration, error) {
	answered := make([]time.Time, len(deliveries))
	failed := make([]error, len(deliveries))
	var posting sync.WaitGroup
	for i, d := range deliveries {
		posting.Go(func() {
			failed[i] = clients[i].Post(d)
			answered[i] = time.Now()
		})
	}
	seen, err := look(ctx, clients[len(deliveries)], deliveries, path)
	posting.Wait()
	if err := errors.Join(append(failed, err)...); err != nil {
		return nil, err
	}
	took := make([]time.Duration, len(deliveries))
	for i := range took {
		took[i] = max(0, seen[i].Sub(answered[i]))
	}
	return took, nil
}

// look returns when each delivery's job was first seen at path.
func look(ctx context.Context, c *load.Client, deliveries []load.Delivery, path string) ([]time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, burstTimeout)
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	seen := make([]time.Time, len(deliveries))
	for missing := len(deliveries); ; {
		shown, err := c.Get(path)
		if err != nil {
			return nil, err
		}
		now := time.Now()
		for i, d := range deliveries {
			if seen[i].IsZero() && bytes.Contains(shown, []byte(d.JobID)) {
				seen[i] = now
				missing--
			}
		}
		if missing == 0 {
			return seen, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of %d deliveries do not show at %s: %w", missing, len(deliveries), path, context.Cause(ctx))
		}
	}
}
