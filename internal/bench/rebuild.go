package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/internal/bench/load"
	"github.com/build-tracker/build-tracker/internal/bench/measure"
)

// rebuildJobs is about what makes 100 deliveries a build.
const rebuildJobs = 32

// rebuild has a server recompute all builds from their events, and reads the
// events with ReadAll.
func (e *env) rebuild(ctx context.Context) (_ []measure.Line, err error) {
	database, err := e.stores.NewDatabase(ctx, "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.stores.Drop(context.WithoutCancel(ctx), database)) }()
	open := func() (db.Store, error) { return db.OpenPostgres(ctx, db.PostgresOptions{URL: database}) }
	deliveries, builds, err := recordMany(ctx, full(e, 1_000_000, 20_000), open)
	if err != nil {
		return nil, err
	}
	environ := []string{"DATABASE_URL=" + database, "REDIS_URL=" + e.stores.Redis(), "NOTICES=off"}
	if err := e.stores.WipeRedis(ctx); err != nil {
		return nil, err
	}
	if _, err := e.foldAll(ctx, deliveries, environ...); err != nil {
		return nil, err
	}
	var events int
	samples, err := e.repeat(ctx, "rebuild", 0, min(e.rounds, full(e, 3, 1)),
		side{"ours", func(ctx context.Context, _ int) (float64, error) {
			took, err := e.rebuildAll(ctx, environ, builds)
			return float64(deliveries) / took.Seconds(), err
		}},
		side{"ReadAll", func(ctx context.Context, _ int) (float64, error) {
			if err := e.stores.Settle(ctx); err != nil {
				return 0, err
			}
			var took time.Duration
			var err error
			events, took, err = readAll(ctx, open)
			return float64(deliveries) / took.Seconds(), err
		}})
	if err != nil {
		return nil, err
	}
	return []measure.Line{{
		Name: "deliveries that builds are rebuilt from", Unit: measure.PerSecond,
		Ours: samples[0], Baseline: samples[1], Target: measure.AtLeast(0.5),
		Notes: []string{fmt.Sprintf("%d deliveries of %d builds; the baseline is ReadAll of the stream, %d events with ours", deliveries, builds, events)},
	}}, nil
}

// recordMany records at least so many deliveries, in no order among the builds of a
// thousand, and returns how many there are, and of how many builds.
func recordMany(ctx context.Context, atLeast int, open func() (db.Store, error)) (deliveries, builds int, err error) {
	traffic, err := load.NewTraffic(load.TrafficOptions{Seed: 5, Shape: load.Shape{Jobs: rebuildJobs}})
	if err != nil {
		return 0, 0, err
	}
	shuffler := rand.New(rand.NewPCG(5, 5))
	for deliveries < atLeast {
		var some []db.Delivery
		for ; len(some) < 100_000 && deliveries+len(some) < atLeast; builds++ {
			b := traffic.Next()
			for n := range b.Deliveries() {
				d, err := parsed(b.Delivery(n, nil))
				if err != nil {
					return 0, 0, err
				}
				some = append(some, d)
			}
		}
		shuffler.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
		if err := record(ctx, some, open); err != nil {
			return 0, 0, err
		}
		deliveries += len(some)
	}
	return deliveries, builds, nil
}

// rebuildAll starts a server with an empty Redis and has it rebuild.
func (e *env) rebuildAll(ctx context.Context, environ []string, builds int) (took time.Duration, err error) {
	if err := errors.Join(e.stores.WipeRedis(ctx), e.stores.Settle(ctx)); err != nil {
		return 0, err
	}
	server, err := e.serve(ctx, "rebuild", environ...)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	if _, err := server.Said(ctx, "this replica folds events into builds"); err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+server.Addr+"/-/rebuild", nil)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var last struct {
		Done     int    `json:"done"`
		Finished bool   `json:"finished"`
		Error    string `json:"error"`
	}
	for lines := json.NewDecoder(resp.Body); err == nil; {
		err = lines.Decode(&last)
	}
	took = time.Since(began)
	if !errors.Is(err, io.EOF) || !last.Finished || last.Done != builds {
		return 0, fmt.Errorf("the rebuild answered %d and ended with %+v: %w", resp.StatusCode, last, err)
	}
	return took, nil
}

// readAll reads the whole stream and returns how many events it has, and how long
// that took.
func readAll(ctx context.Context, open func() (db.Store, error)) (events int, took time.Duration, err error) {
	store, err := open()
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	began := time.Now()
	for after := int64(0); ; {
		page, err := store.ReadAll(ctx, db.ReadQuery{After: after, Limit: 10_000})
		if err != nil {
			return 0, 0, err
		}
		if len(page) == 0 {
			return events, time.Since(began), nil
		}
		events += len(page)
		after = page[len(page)-1].Position
	}
}
