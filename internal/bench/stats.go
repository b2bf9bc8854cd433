package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/internal/bench/load"
	"github.com/build-tracker/build-tracker/internal/bench/measure"
)

const (
	statsPerDay = 300
	statsJobs   = 30
	// statsTimeout bounds how long the server counts what it finds at its start.
	statsTimeout = 10 * time.Minute
)

// stats has a server that starts on a year of builds count them, and asks it for
// what they add up to.
func (e *env) stats(ctx context.Context) (_ []measure.Line, err error) {
	days := full(e, 365, 30)
	database, err := e.stores.NewDatabase(ctx, "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.stores.Drop(context.WithoutCancel(ctx), database)) }()
	began := time.Now()
	if err := errors.Join(fillYear(ctx, database, days), analyze(ctx, database)); err != nil {
		return nil, fmt.Errorf("fill the database: %w", err)
	}
	if err := errors.Join(e.stores.WipeRedis(ctx), e.stores.Settle(ctx)); err != nil {
		return nil, err
	}
	e.say("%d builds went into the database in %s", days*statsPerDay, time.Since(began).Round(time.Second/10))
	ours, err := e.serve(ctx, "stats", "DATABASE_URL="+database, "REDIS_URL="+e.stores.Redis())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ours.Stop()) }()
	began = time.Now()
	if err := awaitCounted(ctx, ours.Addr, days*statsPerDay); err != nil {
		return nil, err
	}
	counted := time.Since(began)
	requests := full(e, 2000, 300)
	samples, err := e.alternate(ctx, "stats", side{"ours", func(context.Context, int) (float64, error) {
		return askYear(ours.Addr, days, requests)
	}})
	if err != nil {
		return nil, err
	}
	return []measure.Line{{
		Name: fmt.Sprintf("GET /api/stats, %d days of %d builds with %d jobs, p99", days, statsPerDay, statsJobs), Unit: measure.Milliseconds,
		Ours: samples[0], Target: measure.Below(50),
		Notes: []string{fmt.Sprintf("%d requests a round; the server that started on the builds had counted them after %.1f s", requests, counted.Seconds())},
	}}, nil
}

// askYear asks for all pipelines, one, and branches of it, in turns, and returns
// the 99th percentile in milliseconds.
func askYear(addr string, days, requests int) (_ float64, err error) {
	client, err := load.Dial(context.Background(), addr, "")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	took := make([]time.Duration, requests)
	for i := range took {
		q := url.Values{"since": {fmt.Sprintf("%dd", days)}}
		if i%4 > 0 {
			q.Set("pipeline", "acme/web")
		}
		if i%4 > 1 {
			q.Set("branch", []string{"main", yearBranch(i)}[i%4-2])
		}
		began := time.Now()
		if _, err := client.Get("/api/stats?" + q.Encode()); err != nil {
			return 0, err
		}
		took[i] = time.Since(began)
	}
	return milliseconds(measure.Percentile(99, took)), nil
}

// awaitCounted returns when a server has counted so many builds.
func awaitCounted(ctx context.Context, addr string, builds int) error {
	ctx, cancel := context.WithTimeout(ctx, statsTimeout)
	defer cancel()
	client, err := load.Dial(ctx, addr, "")
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		body, err := client.Get("/api/stats?since=400d")
		if err != nil {
			return err
		}
		var answer struct {
			Builds int
			Until  *time.Time
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			return fmt.Errorf("read the statistics: %w", err)
		}
		if answer.Until != nil {
			if answer.Builds != builds {
				return fmt.Errorf("%d of %d builds were counted", answer.Builds, builds)
			}
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the builds are not counted: %w", context.Cause(ctx))
		}
	}
}

// yearBranch is one of 30 branches.
func yearBranch(n int) string { return fmt.Sprintf("feature-%d", n%30) }

// fillYear writes the rows of builds that finished on the days before today.
func fillYear(ctx context.Context, database string, days int) (err error) {
	store, err := db.OpenPostgres(ctx, db.PostgresOptions{URL: database})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	y := &year{random: rand.New(rand.NewPCG(8, 8)), streaks: make(map[string]build.Streak)}
	today := time.Now().UTC().Truncate(24 * time.Hour)
	for day := today.AddDate(0, 0, -days); day.Before(today); day = day.AddDate(0, 0, 1) {
		batch := db.Batch{Cursor: "filled"}
		for i := range statsPerDay {
			batch.Rows = append(batch.Rows, y.row(day.Add(time.Duration(i)*24*time.Hour/statsPerDay)))
		}
		if err := store.Commit(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

// analyze does what the database's own housekeeping would have done by then.
func analyze(ctx context.Context, database string) (err error) {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	_, err = conn.Exec(ctx, "VACUUM ANALYZE")
	return err
}

// year makes the builds of a pipeline, a third of them on its default branch.
type year struct {
	random  *rand.Rand
	number  int64
	streaks map[string]build.Streak // by branch
}

// row makes the next build, as it stands when it has finished.
func (y *year) row(finished time.Time) db.Row {
	y.number++
	branch := "main"
	if y.random.IntN(3) > 0 {
		branch = yearBranch(y.random.IntN(30))
	}
	b := build.New(uuid.NewString(), "acme", "web", y.number)
	b.Branch.V, b.Message.V, b.Commit.V = branch, "Retry the payment webhook once", "895c79e0f1c2895c79e0f1c2895c79e0f1c28900"
	b.StartedAt = finished.Add(-time.Duration(300+y.random.IntN(600)) * time.Second)
	b.CreatedAt, b.Jobs = b.StartedAt.Add(-time.Second), make(map[string]*build.Job)
	b.State, b.Latest = "passed", build.Version{FinishedAt: finished.UnixMicro(), Rank: 10}
	for n := range statsJobs {
		j := y.job(b, n, "passed")
		if failed := y.random.Float64(); failed < 0.01 {
			j.State, j.Latest.Rank = "failed", 27
			if failed < 0.007 { // and passes when it is tried again
				j.RetriedIn = y.job(b, n, "passed").ID
			} else {
				b.State, b.Latest.Rank = "failed", 11
			}
		}
	}
	y.recount(b)
	return db.Row{
		ID: b.ID, Organization: b.Organization, Pipeline: b.Pipeline, Number: b.Number, Branch: branch, State: b.State,
		Status: b.Status(), Class: b.Class(), Streak: b.Streak, CreatedAt: b.CreatedAt, FinishedAt: finished, Rev: y.number,
		Snapshot: build.Encode(b),
	}
}

// job adds an attempt of a step to a build.
func (y *year) job(b *build.Build, n int, state string) *build.Job {
	waited, took := time.Duration(y.random.IntN(60_000))*time.Millisecond, time.Duration(10_000+y.random.IntN(200_000))*time.Millisecond
	j := &build.Job{
		ID: uuid.NewString(), Type: "script", State: state, Name: fmt.Sprintf(":go: step %d", n), StepKey: fmt.Sprintf("step-%d", n),
		CreatedAt: b.CreatedAt, RunnableAt: b.StartedAt, StartedAt: b.StartedAt.Add(waited), Queue: "default",
	}
	j.Latest = build.Version{FinishedAt: j.StartedAt.Add(took).UnixMicro(), Rank: 23}
	b.Jobs[j.ID] = j
	return j
}

// recount sets the build's place among the failures of its branch.
func (y *year) recount(b *build.Build) {
	place := []build.Place{{ID: b.ID, Number: b.Number, CreatedAt: b.CreatedAt, Class: b.Class()}}
	b.Streak = build.Recount(y.streaks[b.Branch.V], place)[0].Streak
	y.streaks[b.Branch.V] = b.Streak
}
