package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/build-tracker/build-tracker/buildkite"
	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/internal/bench/baseline"
	"github.com/build-tracker/build-tracker/internal/bench/load"
	"github.com/build-tracker/build-tracker/internal/bench/measure"
)

// appends has producers that each wait for the commit of what they append.
func (e *env) appends(ctx context.Context) ([]measure.Line, error) {
	var lines []measure.Line
	for _, producers := range []int{32, 256} {
		more, err := e.appendsWith(ctx, producers)
		if err != nil {
			return nil, err
		}
		lines = append(lines, more...)
	}
	return lines, nil
}

func (e *env) appendsWith(ctx context.Context, producers int) (_ []measure.Line, err error) {
	type target struct {
		name string
		to   *appendTarget
	}
	var targets []target
	var closers []func() error
	defer func() {
		for i := range closers {
			err = errors.Join(err, closers[len(closers)-1-i]())
		}
	}()
	for _, replicas := range []int{1, 0, 3} {
		database, err := e.stores.NewDatabase(ctx, "")
		if err != nil {
			return nil, err
		}
		closers = append(closers, func() error { return e.stores.Drop(context.WithoutCancel(ctx), database) })
		to, err := openAppendTarget(ctx, database, replicas)
		closers = append(closers, to.close)
		if err != nil {
			return nil, err
		}
		name := fmt.Sprintf("%d replicas", replicas)
		if replicas == 0 {
			name = "baseline"
		}
		targets = append(targets, target{name, to})
	}
	payload, err := payloads()
	if err != nil {
		return nil, err
	}
	var sides []side
	for _, t := range targets {
		sides = append(sides, side{t.name, func(ctx context.Context, _ int) (float64, error) {
			if err := e.stores.Settle(ctx); err != nil {
				return 0, err
			}
			run := func() (float64, error) {
				return produce(ctx, t.to, payload, producers, full(e, 4*time.Second, 500*time.Millisecond))
			}
			if t.to.writer != nil {
				return run()
			}
			return e.profiled(fmt.Sprintf("append-%d-%d", producers, len(t.to.replicas)), run)
		}})
	}
	samples, err := e.alternate(ctx, fmt.Sprintf("append, %d producers", producers), sides...)
	if err != nil {
		return nil, err
	}
	return []measure.Line{
		{
			Name: fmt.Sprintf("appends, %d producers, one replica", producers), Unit: measure.PerSecond,
			Ours: samples[0], Baseline: samples[1], Target: measure.AtLeast(0.7),
		},
		{
			Name: fmt.Sprintf("appends, %d producers, three replicas", producers), Unit: measure.PerSecond,
			Ours: samples[2], Baseline: samples[1], Target: measure.AtLeast(0.5),
		},
	}, nil
}

// appendTarget is where producers append: replicas of the store, or the
// baseline.
type appendTarget struct {
	replicas []*db.Postgres
	writer   *baseline.Writer
}

// openAppendTarget opens the baseline for no replicas. It is to be closed even
// if it failed.
func openAppendTarget(ctx context.Context, database string, replicas int) (*appendTarget, error) {
	t := &appendTarget{}
	if replicas == 0 {
		var err error
		t.writer, err = baseline.NewWriter(ctx, database)
		return t, err
	}
	for range replicas {
		store, err := db.OpenPostgres(ctx, db.PostgresOptions{URL: database})
		if err != nil {
			return t, err
		}
		t.replicas = append(t.replicas, store)
	}
	return t, nil
}

func (t *appendTarget) close() error {
	var errs []error
	for _, r := range t.replicas {
		errs = append(errs, r.Close())
	}
	if t.writer != nil {
		errs = append(errs, t.writer.Close())
	}
	return errors.Join(errs...)
}

// append makes one event durable; producers go to the replicas in turn.
func (t *appendTarget) append(ctx context.Context, producer int, d *db.Delivery) error {
	if t.writer == nil {
		_, err := t.replicas[producer%len(t.replicas)].Append(ctx, *d)
		return err
	}
	return t.writer.Append(baseline.Event{
		Key: d.Key, Organization: d.Organization, Pipeline: d.Pipeline, Number: d.Number,
		BuildID: d.BuildID, Type: d.Type, Payload: s2.EncodeBetter(nil, d.Data),
	})
}

// payloads returns what deliveries say, ready to be appended.
func payloads() ([]db.Delivery, error) {
	traffic, err := load.NewTraffic(load.TrafficOptions{Seed: 2, Shape: load.Shape{Jobs: 6}})
	if err != nil {
		return nil, err
	}
	var out []db.Delivery
	for _, b := range traffic.Builds(100) {
		for n := range b.Deliveries() {
			d, err := parsed(b.Delivery(n, nil))
			if err != nil {
				return nil, err
			}
			out = append(out, d)
		}
	}
	return out, nil
}

// parsed is what a webhook makes of a delivery.
func parsed(d load.Delivery) (db.Delivery, error) {
	p, err := buildkite.Parse(d.Body, buildkite.Options{})
	if err != nil {
		return db.Delivery{}, err
	}
	return db.Delivery{
		Key: p.Key, Organization: p.Organization, Pipeline: p.Pipeline, Number: p.Number,
		BuildID: p.BuildID, Type: p.Event, Data: p.Data,
	}, nil
}

// produce appends from many goroutines for a while and returns the rate. Every
// event has a key and, 20 at a time, a build of its own.
func produce(ctx context.Context, to *appendTarget, payload []db.Delivery, producers int, lasts time.Duration) (float64, error) {
	began := time.Now()
	random := make([]*rand.ChaCha8, producers)
	for p := range random {
		random[p] = rand.NewChaCha8(seed())
	}
	return inParallel(ctx, producers, lasts, func(ctx context.Context, p, n int) error {
		d := payload[(p*31+n)%len(payload)]
		_, _ = random[p].Read(d.Key[:])
		d.BuildID = fmt.Sprintf("%x-%d-%d", began.UnixNano(), p, n/20)
		return to.append(ctx, p, &d)
	})
}

// inParallel has workers do something again and again for a while, each counting
// from 0, and returns the rate of all together. The first error ends it.
func inParallel(ctx context.Context, workers int, lasts time.Duration, do func(ctx context.Context, worker, n int) error) (float64, error) {
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var total atomic.Int64
	var working sync.WaitGroup
	began := time.Now()
	for w := range workers {
		working.Go(func() {
			n := 0
			for ; running.Err() == nil && time.Since(began) < lasts; n++ {
				if err := do(running, w, n); err != nil {
					stop(err)
				}
			}
			total.Add(int64(n))
		})
	}
	working.Wait()
	took := time.Since(began)
	if err := context.Cause(running); err != nil {
		return 0, err
	}
	return float64(total.Load()) / took.Seconds(), nil
}

func seed() (s [32]byte) {
	for i := range s {
		s[i] = byte(rand.Uint32())
	}
	return s
}
