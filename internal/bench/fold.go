package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/internal/bench/baseline"
	"github.com/build-tracker/build-tracker/internal/bench/load"
	"github.com/build-tracker/build-tracker/internal/bench/measure"
)

const foldBuilds = 1000

// fold has a server that starts on a stream of recorded events fold them all,
// and goroutines that do so under a lock an event.
func (e *env) fold(ctx context.Context) (_ []measure.Line, err error) {
	events, err := shuffledEvents(full(e, 9, 3))
	if err != nil {
		return nil, err
	}
	filled, err := e.stores.NewDatabase(ctx, "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.stores.Drop(context.WithoutCancel(ctx), filled)) }()
	if err := record(ctx, events, func() (db.Store, error) {
		return db.OpenPostgres(ctx, db.PostgresOptions{URL: filled})
	}); err != nil {
		return nil, err
	}
	folder := filepath.Join(e.dir, "filled")
	if err := record(ctx, events, func() (db.Store, error) {
		return db.OpenSQLite(ctx, db.SQLiteOptions{Dir: folder})
	}); err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)

	alone, crowd := lockedFold{e: e, events: events, workers: 1}, lockedFold{e: e, events: events}
	samples, err := e.alternate(ctx, "fold",
		side{"PostgreSQL", func(ctx context.Context, _ int) (float64, error) { return e.foldPostgres(ctx, filled, len(events)) }},
		side{"baseline", alone.measure},
		side{"embedded", func(ctx context.Context, _ int) (float64, error) { return e.foldEmbedded(ctx, folder, len(events)) }},
		side{"in parallel", crowd.measure},
	)
	if err != nil {
		return nil, err
	}
	note := fmt.Sprintf("in parallel, the baseline ran in %d goroutines, the fastest while it warmed up (%s)",
		crowd.workers, strings.Join(crowd.tried, ", "))
	return []measure.Line{
		{
			Name: "events folded, 1,000 builds, " + postgres, Unit: measure.PerSecond,
			Ours: samples[0], Baseline: samples[1], Target: measure.AtLeast(8),
			Notes: []string{fmt.Sprintf("%d events; the baseline takes one after the other", len(events))},
		},
		{
			Name: "events folded, 1,000 builds, " + embedded, Unit: measure.PerSecond,
			Ours: samples[2], Baseline: samples[1], Target: measure.AtLeast(8),
		},
		{
			Name: "the first, to its baseline in parallel", Unit: measure.PerSecond,
			Ours: samples[0], Baseline: samples[3], Notes: []string{note},
		},
	}, nil
}

// shuffledEvents are the deliveries of 1,000 builds, in no order.
func shuffledEvents(jobs int) ([]db.Delivery, error) {
	traffic, err := load.NewTraffic(load.TrafficOptions{Seed: 3, Shape: load.Shape{Jobs: jobs}})
	if err != nil {
		return nil, err
	}
	var events []db.Delivery
	for _, b := range traffic.Builds(foldBuilds) {
		for n := range b.Deliveries() {
			d, err := parsed(b.Delivery(n, nil))
			if err != nil {
				return nil, err
			}
			events = append(events, d)
		}
	}
	shuffler := rand.New(rand.NewPCG(3, 3))
	shuffler.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	return events, nil
}

// record appends events to a store that it opens and closes.
func record(ctx context.Context, events []db.Delivery, open func() (db.Store, error)) (err error) {
	store, err := open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var recording sync.WaitGroup
	for part := range slices.Chunk(events, (len(events)+255)/256) {
		recording.Go(func() {
			for _, d := range part {
				if _, err := store.Append(running, d); err != nil {
					stop(err)
					return
				}
			}
		})
	}
	recording.Wait()
	return context.Cause(running)
}

func (e *env) foldPostgres(ctx context.Context, filled string, events int) (rate float64, err error) {
	database, err := e.stores.NewDatabase(ctx, filled)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, e.stores.Drop(context.WithoutCancel(ctx), database)) }()
	if err := errors.Join(e.stores.WipeRedis(ctx), e.stores.Settle(ctx)); err != nil {
		return 0, err
	}
	return e.foldAll(ctx, events, "DATABASE_URL="+database, "REDIS_URL="+e.stores.Redis())
}

func (e *env) foldEmbedded(ctx context.Context, filled string, events int) (float64, error) {
	dir, err := e.newDir()
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, os.DirFS(filled)); err != nil {
		return 0, err
	}
	return e.foldAll(ctx, events, "DATA_DIR="+dir)
}

// foldAll starts a server on a stream and returns the rate from when it began to
// fold until it had folded everything.
func (e *env) foldAll(ctx context.Context, events int, env ...string) (_ float64, err error) {
	server, err := e.serve(ctx, "fold", env...)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	began, err := server.Said(ctx, "this replica folds events into builds")
	if err != nil {
		return 0, err
	}
	ended, err := awaitFolded(ctx, server.Addr, int64(events), 20*time.Millisecond)
	return float64(events) / ended.Sub(began).Seconds(), err
}

// lockedWorkers are the numbers of goroutines from which the baseline's is
// chosen while it warms up.
func lockedWorkers() []int { return []int{1, 4, 8, 16, 32} }

// lockedFold is the baseline: a lock, GET, SET and unlock an event.
type lockedFold struct {
	e       *env
	events  []db.Delivery
	workers int      // 0: to be found while it warms up
	tried   []string // rates by number of goroutines
}

func (l *lockedFold) measure(ctx context.Context, round int) (float64, error) {
	if round > 0 || l.workers > 0 {
		return l.run(ctx, l.workers, full(l.e, 3*time.Second, 800*time.Millisecond))
	}
	best := 0.0
	for _, workers := range lockedWorkers() {
		rate, err := l.run(ctx, workers, full(l.e, time.Second, 200*time.Millisecond))
		if err != nil {
			return 0, err
		}
		l.tried = append(l.tried, fmt.Sprintf("%d: %.0f/s", workers, rate))
		if rate > best {
			best, l.workers = rate, workers
		}
	}
	return best, nil
}

// run folds events, the first again after the last, for a while.
func (l *lockedFold) run(ctx context.Context, workers int, lasts time.Duration) (_ float64, err error) {
	if err := l.e.stores.WipeRedis(ctx); err != nil {
		return 0, err
	}
	state, err := baseline.NewLocked(l.e.stores.Redis())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var next atomic.Int64
	var folding sync.WaitGroup
	began := time.Now()
	for range workers {
		folding.Go(func() {
			for running.Err() == nil && time.Since(began) < lasts {
				n := next.Add(1) - 1
				if err := state.Apply(running, l.events[n%int64(len(l.events))].Data); err != nil {
					stop(err)
				}
			}
		})
	}
	folding.Wait()
	took := time.Since(began)
	if err := context.Cause(running); err != nil {
		return 0, err
	}
	return float64(next.Load()) / took.Seconds(), nil
}
