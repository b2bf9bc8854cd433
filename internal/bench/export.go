package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/build-tracker/build-tracker/analytics"
	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/internal/bench/baseline"
	"github.com/build-tracker/build-tracker/internal/bench/measure"
	"github.com/build-tracker/build-tracker/internal/testenv/bigquery"
)

// export has a server that starts on a folded stream export all of it, and a bare
// loop append the same rows, which it has encoded in memory. Both write to a
// BigQuery in this process that keeps counts only.
func (e *env) export(ctx context.Context) (_ []measure.Line, err error) {
	events, err := shuffledEvents(full(e, 30, 3))
	if err != nil {
		return nil, err
	}
	filled, err := e.stores.NewDatabase(ctx, "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.stores.Drop(context.WithoutCancel(ctx), filled)) }()
	open := func(url string) (db.Store, error) { return db.OpenPostgres(ctx, db.PostgresOptions{URL: url}) }
	if err := record(ctx, events, func() (db.Store, error) { return open(filled) }); err != nil {
		return nil, err
	}
	if err := e.stores.WipeRedis(ctx); err != nil {
		return nil, err
	}
	if err := e.foldAndCount(ctx, len(events), filled, open); err != nil {
		return nil, err
	}
	rows, err := rowsOf(ctx, filled, open)
	if err != nil {
		return nil, err
	}
	samples, err := e.alternate(ctx, "export", side{"ours", func(ctx context.Context, _ int) (float64, error) {
		return e.exportAll(ctx, filled, open, len(rows))
	}}, side{"baseline", func(ctx context.Context, _ int) (float64, error) {
		return appendAll(ctx, rows)
	}})
	if err != nil {
		return nil, err
	}
	return []measure.Line{{
		Name: "rows exported, of " + thousands(len(events)) + " deliveries and our own events", Unit: measure.PerSecond,
		Ours: samples[0], Baseline: samples[1], Target: measure.AtLeast(0.7),
		Notes: []string{fmt.Sprintf("%d rows of %d tables", len(rows), len(analytics.Tables()))},
	}}, nil
}

// rowsOf returns the rows that follow from a stream.
func rowsOf(ctx context.Context, database string, open func(url string) (db.Store, error)) (rows []analytics.Row, err error) {
	store, err := open(database)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	d := analytics.NewDeriver(store)
	for after := int64(0); ; {
		events, err := store.ReadAll(ctx, db.ReadQuery{After: after})
		if err != nil {
			return nil, err
		}
		if len(events) == 0 {
			return rows, nil
		}
		for i := range events {
			if rows, err = d.Append(ctx, rows, &events[i]); err != nil {
				return nil, err
			}
		}
		after = events[len(events)-1].Position
	}
}

// exportAll starts a server on a copy of a stream and returns the rate from when
// it began to export until its cursor was at the end.
func (e *env) exportAll(ctx context.Context, filled string, open func(url string) (db.Store, error), rows int) (rate float64, err error) {
	to, err := bigquery.New(bigquery.Options{Discard: true})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	database, err := e.stores.NewDatabase(ctx, filled)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, e.stores.Drop(context.WithoutCancel(ctx), database)) }()
	if err := errors.Join(e.stores.WipeRedis(ctx), e.stores.Settle(ctx)); err != nil {
		return 0, err
	}
	store, err := open(database)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	server, err := e.serve(ctx, "export", "DATABASE_URL="+database, "REDIS_URL="+e.stores.Redis(), "NOTICES=off",
		"BIGQUERY_PROJECT=test", "BIGQUERY_DATASET=ci", "BIGQUERY_ENDPOINT="+to.URL(), "BIGQUERY_STORAGE_ENDPOINT="+to.StorageAddr())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	began, err := server.Said(ctx, "this replica exports to BigQuery")
	if err != nil {
		return 0, err
	}
	if err := awaitCursor(ctx, store, "bigquery"); err != nil {
		return 0, err
	}
	took := time.Since(began)
	if have := to.Counts().Rows; have != int64(rows) {
		return 0, fmt.Errorf("%d rows were exported, want %d", have, rows)
	}
	return float64(rows) / took.Seconds(), nil
}

// foldAndCount leaves nothing of a stream to do but to export it.
func (e *env) foldAndCount(ctx context.Context, events int, database string, open func(url string) (db.Store, error)) (err error) {
	server, err := e.serve(ctx, "fold", "DATABASE_URL="+database, "REDIS_URL="+e.stores.Redis())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	if _, err := awaitFolded(ctx, server.Addr, int64(events), 20*time.Millisecond); err != nil {
		return err
	}
	store, err := open(database)
	if err != nil {
		return err
	}
	return errors.Join(awaitCursor(ctx, store, "stats"), store.Close())
}

// awaitCursor returns when a cursor is at the end of the stream.
func awaitCursor(ctx context.Context, store db.Store, name string) error {
	ctx, cancel := context.WithTimeout(ctx, foldTimeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		head, err := store.Head(ctx)
		if err != nil {
			return err
		}
		cursor, err := store.Cursor(ctx, name)
		if err != nil {
			return err
		}
		if cursor.Position == head {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the cursor %s is at %d of %d: %w", name, cursor.Position, head, context.Cause(ctx))
		}
	}
}

// appendAll is the baseline.
func appendAll(ctx context.Context, rows []analytics.Row) (rate float64, err error) {
	to, err := bigquery.New(bigquery.Options{Discard: true})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	loop, err := baseline.NewAppendLoop(ctx, baseline.AppendLoopOptions{REST: to.URL(), Storage: to.StorageAddr()}, rows)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, loop.Close()) }()
	began := time.Now()
	if err := loop.Run(ctx); err != nil {
		return 0, err
	}
	took := time.Since(began)
	if have := to.Counts().Rows; have != int64(len(rows)) {
		return 0, fmt.Errorf("the baseline appended %d rows of %d", have, len(rows))
	}
	return float64(len(rows)) / took.Seconds(), nil
}
