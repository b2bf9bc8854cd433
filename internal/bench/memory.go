package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/build-tracker/build-tracker/internal/bench/child"
	"github.com/build-tracker/build-tracker/internal/bench/load"
	"github.com/build-tracker/build-tracker/internal/bench/measure"
)

// memoryRounds bounds the rounds of a row whose rounds take minutes.
const memoryRounds = 3

// memory puts many builds through a server and looks how much memory it has when
// all are folded.
func (e *env) memory(ctx context.Context) ([]measure.Line, error) {
	builds := full(e, 100_000, 10_000)
	var lines []measure.Line
	for _, store := range []struct {
		name   string
		target float64 // MB
	}{{embedded, 250}, {postgres, 120}} {
		var peaks measure.Samples
		samples, err := e.repeat(ctx, "memory, "+store.name, 1, min(e.rounds, full(e, memoryRounds, 1)), side{"MB", func(ctx context.Context, _ int) (float64, error) {
			if err := e.drop(ctx, store.name); err != nil {
				return 0, err
			}
			m, err := e.fill(ctx, store.name, builds)
			peaks = append(peaks, megabytes(m.Peak))
			return megabytes(m.Resident), err
		}})
		if err != nil {
			return nil, err
		}
		lines = append(lines, measure.Line{
			Name: fmt.Sprintf("resident memory after %s builds, %s", thousands(builds), store.name), Unit: measure.Megabytes,
			Ours: samples[0], Target: measure.Below(store.target),
			Notes: []string{fmt.Sprintf("three events a build; at its highest %.0f MB", peaks.Max())},
		})
	}
	return lines, nil
}

func megabytes(bytes int64) float64 { return float64(bytes) / 1e6 }

func thousands(n int) string { return fmt.Sprintf("%d,000", n/1000) }

// The pairs of stores.
const (
	embedded = "embedded"
	postgres = "PostgreSQL and Redis"
)

// filled is a pair of stores that builds went into.
type filled struct {
	dir, database string
	builds        int
}

func (e *env) environ(f filled) []string {
	if f.database == "" {
		return []string{"DATA_DIR=" + f.dir}
	}
	return []string{"DATABASE_URL=" + f.database, "REDIS_URL=" + e.stores.Redis()}
}

// empty makes a pair of stores.
func (e *env) empty(ctx context.Context, store string) (f filled, err error) {
	if store == embedded {
		f.dir, err = e.newDir()
		return f, err
	}
	if f.database, err = e.stores.NewDatabase(ctx, ""); err != nil {
		return f, err
	}
	return f, e.stores.WipeRedis(ctx)
}

func (e *env) remove(ctx context.Context, f filled) error {
	if f.database == "" {
		return os.RemoveAll(f.dir)
	}
	return e.stores.Drop(context.WithoutCancel(ctx), f.database)
}

// drop removes what is kept of a pair of stores.
func (e *env) drop(ctx context.Context, store string) error {
	f, kept := e.kept[store]
	if !kept {
		return nil
	}
	delete(e.kept, store)
	return e.remove(ctx, f)
}

// fill puts builds through a server on an empty pair of stores, which is kept,
// and returns what memory the server had when it had folded them all.
func (e *env) fill(ctx context.Context, store string, builds int) (m child.Memory, err error) {
	f, err := e.empty(ctx, store)
	if err != nil {
		return m, err
	}
	f.builds = builds
	e.kept[store] = f
	server, err := e.serve(ctx, "memory", e.environ(f)...)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	shape := load.Shape{Jobs: 2, Finishes: true}
	traffic, err := load.NewTraffic(load.TrafficOptions{Seed: 6, Shape: shape})
	if err != nil {
		return m, err
	}
	began := time.Now()
	flooded, err := load.Flood(ctx, load.FloodOptions{
		Addr: server.Addr, Token: webhookToken, Connections: webhookConnections, Traffic: traffic, Builds: builds,
	})
	if err != nil {
		return m, err
	}
	if _, err := awaitFolded(ctx, server.Addr, flooded.Deliveries, 10*time.Millisecond); err != nil {
		return m, err
	}
	e.say("%s builds went into %s in %s", thousands(builds), store, time.Since(began).Round(time.Second/10))
	return server.Memory()
}
