package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/internal/bench/measure"
	"github.com/build-tracker/build-tracker/stream"
)

// longBuild is the build that is caught up on.
const longBuild = "018f3a10-2f3b-4e0c-8a7d-9d0c4a5b6e7f"

// catchUp reads a build of many events from its beginning, as a watcher does that
// comes late, and with one SELECT.
func (e *env) catchUp(ctx context.Context) (_ []measure.Line, err error) {
	events := full(e, 100_000, 20_000)
	database, err := e.stores.NewDatabase(ctx, "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.stores.Drop(context.WithoutCancel(ctx), database)) }()
	open := func() (db.Store, error) { return db.OpenPostgres(ctx, db.PostgresOptions{URL: database}) }
	if err := record(ctx, longBuildEvents(events), open); err != nil {
		return nil, err
	}
	store, err := open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return nil, fmt.Errorf("open the baseline's database: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	// As the server's own housekeeping would have done by then.
	if _, err := conn.Exec(ctx, "VACUUM ANALYZE"); err != nil {
		return nil, fmt.Errorf("vacuum: %w", err)
	}
	samples, err := e.alternate(ctx, "catchup", side{"ours", func(ctx context.Context, _ int) (float64, error) {
		return e.profiled("catchup", func() (float64, error) { return catchUpFollowing(ctx, store, events) })
	}}, side{"baseline", func(ctx context.Context, _ int) (float64, error) {
		return catchUpSelecting(ctx, conn, events)
	}})
	if err != nil {
		return nil, err
	}
	return []measure.Line{{
		Name: "catching up on " + thousands(events) + " events of one build", Unit: measure.PerSecond,
		Ours: samples[0], Baseline: samples[1], Target: measure.AtLeast(0.5),
	}}, nil
}

// longBuildEvents are events with about 300 bytes of data.
func longBuildEvents(n int) []db.Delivery {
	events := make([]db.Delivery, n)
	for i := range events {
		id := sha256.Sum256(strconv.AppendInt(nil, int64(i), 10))
		events[i] = db.Delivery{
			Key: id, Organization: "acme", Pipeline: "web", Number: 1, BuildID: longBuild, Type: "job.finished",
			Data: fmt.Appendf(nil, `{"event":"job.finished","job":{"id":"%x","name":":go: test %d","state":"passed","exit_status":0,"padding":"%s"}}`,
				id[:16], i, strings.Repeat("Retry the payment webhook once. ", 6)),
		}
	}
	return events
}

// catchUpFollowing reads the build's events from a source that is opened anew.
func catchUpFollowing(ctx context.Context, store db.Store, events int) (_ float64, err error) {
	follower := stream.NewFollower(stream.FollowerOptions{Builds: store, Stream: wholeStream{store}})
	defer func() { err = errors.Join(err, follower.Close()) }()
	began := time.Now()
	source, err := follower.Build(longBuild, 0)
	if err != nil {
		return 0, err
	}
	for n := range events {
		e, err := source.Next(ctx)
		if err != nil {
			return 0, err
		}
		if e.Seq != int64(n) || len(e.Data) == 0 {
			return 0, fmt.Errorf("event %d, of %d bytes, comes where %d is due", e.Seq, len(e.Data), n)
		}
	}
	return float64(events) / time.Since(began).Seconds(), nil
}

// catchUpSelecting reads the same rows, with their payloads as they are stored.
func catchUpSelecting(ctx context.Context, conn *pgx.Conn, events int) (float64, error) {
	began := time.Now()
	rows, err := conn.Query(ctx, `SELECT position, id, organization, build_id, pipeline, number, seq, type, version, recorded_at, payload
		FROM events WHERE build_id = $1 ORDER BY seq`, longBuild)
	if err != nil {
		return 0, fmt.Errorf("select events: %w", err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		var e stream.Event
		if err := rows.Scan(&e.Position, (*[16]byte)(&e.ID), &e.Organization, &e.BuildID, &e.Pipeline, &e.Number, &e.Seq,
			&e.Type, &e.Version, &e.Time, (*[]byte)(&e.Data)); err != nil {
			return 0, fmt.Errorf("select events: %w", err)
		}
		if e.Seq != int64(n) || len(e.Data) == 0 {
			return 0, fmt.Errorf("event %d, of %d bytes, comes where %d is due", e.Seq, len(e.Data), n)
		}
		n++
	}
	if err := rows.Err(); err != nil {
		return 0, fmt.Errorf("select events: %w", err)
	}
	if n != events {
		return 0, fmt.Errorf("select events: %d rows of %d", n, events)
	}
	return float64(events) / time.Since(began).Seconds(), nil
}
