package buildtracker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/stats"
	"github.com/build-tracker/build-tracker/stream"
)

// statsCursor is the name of the cursor of the statistics. Its state is countedUntil;
// empty before all days were counted.
const statsCursor = "stats"

const (
	// statsInterval is from one look at the stream to the next. A pause is besides at
	// least statsRest times as long as the work before it, up to statsMost.
	statsInterval = 2 * time.Second
	statsRest     = 20
	statsMost     = time.Minute
	// statsSweep is from one comparison of all days with their builds to the next.
	statsSweep = time.Hour
	// statsPositions and statsBuilds are how much is read at once.
	statsPositions = 5000
	statsBuilds    = 200
)

// statsStore is what the statistics need of the database.
type statsStore interface {
	Head(ctx context.Context) (int64, error)
	Each(ctx context.Context, q db.ReadQuery, do func(*stream.Event) error) error
	StatusBefore(ctx context.Context, buildID string, seq int64) (stream.Event, error)
	Cursor(ctx context.Context, name string) (db.Cursor, error)
	ReadAll(ctx context.Context, q db.ReadQuery) ([]stream.Event, error)
	Begin(ctx context.Context, name string, c db.Cursor) error
	Commit(ctx context.Context, b db.Batch) error
	tallyStore
}

// tallyStore has the builds that are counted, and what was.
type tallyStore interface {
	Finished(ctx context.Context, q db.FinishedQuery) ([]db.Row, error)
	Incidents(ctx context.Context, from, to time.Time) ([]db.Incident, error)
	TouchedDays(ctx context.Context, buildIDs []string) ([]time.Time, error)
	StaleDays(ctx context.Context, format int) ([]time.Time, error)
	SetTallies(ctx context.Context, d db.DayTallies) error
}

// statistician keeps what is counted of each day's builds.
//
// Status events say which builds changed, and so which days are to be counted. Such
// a day is counted anew from the rows of its builds, and what was counted before is
// replaced: doing it again changes nothing. The cursor moves afterwards. What no
// event tells of, such as builds that retention removed, or everything at the first
// start, shows where the number of a day's builds differs from the one counted. After
// a rebuild every day does.
type statistician struct {
	store statsStore
	duty  *duty
	log   *slog.Logger
}

// run counts whenever this replica has the lease, until ctx ends.
func (s *statistician) run(ctx context.Context) { s.duty.run(ctx, s.keep) }

func (s *statistician) keep(ctx context.Context) {
	var quiet sometimes
	for failures := 1; ctx.Err() == nil; failures++ {
		err := s.session(ctx, func() { failures = 0 })
		if err == nil || ctx.Err() != nil {
			return
		}
		if !errors.Is(err, db.ErrFenced) {
			quiet.do(func() { s.log.Warn("the statistics wait", "error", err) })
		}
		sleep(ctx, jitter(backoff(failures+1, statsInterval, statsMost)))
	}
}

// session takes the cursor over and counts until something fails or ctx ends. It
// calls progress whenever all is counted.
func (s *statistician) session(ctx context.Context, progress func()) error {
	at, err := s.begin(ctx)
	if err != nil {
		return err
	}
	var swept time.Time
	for {
		began := time.Now()
		sweep := began.Sub(swept) >= statsSweep
		if sweep {
			swept = began
		}
		if at, err = s.count(ctx, at, sweep); err != nil {
			return err
		}
		progress()
		if !sleep(ctx, min(max(statsInterval, statsRest*time.Since(began)), statsMost)) {
			return nil
		}
	}
}

// begin takes the cursor over.
func (s *statistician) begin(ctx context.Context) (db.Cursor, error) {
	at, err := s.store.Cursor(ctx, statsCursor)
	if err != nil {
		return at, err
	}
	at.Generation = uuid.NewString()
	if err := s.store.Begin(ctx, statsCursor, at); err != nil {
		return at, fmt.Errorf("take the statistics over: %w", err)
	}
	return at, nil
}

// count counts the days that changed up to the stream's head, and with sweep those
// that differ from what was counted, and moves the cursor.
func (s *statistician) count(ctx context.Context, at db.Cursor, sweep bool) (db.Cursor, error) {
	if now, err := s.store.Cursor(ctx, statsCursor); err != nil {
		return at, err
	} else if now.Generation != at.Generation {
		return at, db.ErrFenced
	}
	// In this order: the status events of what is folded by now are below the head.
	until, err := foldedUntil(ctx, s.store, time.Now())
	if err != nil {
		return at, err
	}
	head, err := s.store.Head(ctx)
	if err != nil || head == at.Position && !sweep {
		return at, err
	}
	days := make(daySet)
	if sweep {
		stale, err := s.store.StaleDays(ctx, stats.Format)
		if err != nil {
			return at, err
		}
		days.add(stale...)
	}
	if at.State != "" { // else every day is stale
		if err := s.changed(ctx, at.Position, head, days); err != nil {
			return at, err
		}
	}
	for _, day := range days.latestFirst() {
		if err := s.countDay(ctx, day, at.Generation); err != nil {
			return at, fmt.Errorf("count the builds of %s: %w", day.Format(time.DateOnly), err)
		}
	}
	to := db.Cursor{Position: head, Generation: at.Generation, State: countedState(until)}
	err = s.store.Commit(ctx, db.Batch{Cursor: statsCursor, From: at.Position, To: to.Position, Generation: to.Generation, State: to.State})
	if err != nil {
		return at, err
	}
	return to, nil
}

// changed adds the days whose builds changed with the events behind after, up to to.
func (s *statistician) changed(ctx context.Context, after, to int64, days daySet) error {
	for after < to {
		upTo := min(after+statsPositions, to)
		told, err := s.told(ctx, db.ReadQuery{After: after, UpTo: upTo, Types: []string{stream.TypeStatus}, Limit: statsPositions})
		if err != nil {
			return err
		}
		if len(told) == 0 {
			after = upTo
			continue
		}
		after = told[len(told)-1].position
		var ids []string
		for _, e := range told {
			ids = append(ids, e.buildID)
			if err := s.before(ctx, e, days); err != nil {
				return err
			}
		}
		touched, err := s.store.TouchedDays(ctx, ids)
		if err != nil {
			return err
		}
		days.add(touched...)
	}
	return nil
}

// statusTold is a status event of a build that has finished.
type statusTold struct {
	buildID       string
	seq, position int64
	// again: it had finished before.
	again bool
}

// told reads status events.
func (s *statistician) told(ctx context.Context, q db.ReadQuery) (told []statusTold, err error) {
	err = s.store.Each(ctx, q, func(e *stream.Event) error {
		t := statusTold{buildID: e.BuildID, seq: e.Seq, position: e.Position}
		previous := previousOf(e.Data)
		t.again = previous != "" && previous != build.Running
		told = append(told, t)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read status events: %w", err)
	}
	return told, nil
}

// previousOf returns which status a build had before a status event. It reads no
// further: the build behind it is large.
func previousOf(data []byte) build.Status {
	members := json.NewDecoder(bytes.NewReader(data))
	for range 8 {
		switch token, err := members.Token(); {
		case err != nil:
			return ""
		case token == "previous":
			status, _ := members.Token()
			text, _ := status.(string)
			return build.Status(text)
		}
	}
	return ""
}

// before adds the day on which a build had finished before an event.
func (s *statistician) before(ctx context.Context, e statusTold, days daySet) error {
	if !e.again {
		return nil
	}
	last, err := s.store.StatusBefore(ctx, e.buildID, e.seq)
	if err != nil {
		return fmt.Errorf("look up when build %s had finished: %w", e.buildID, err)
	}
	var data struct {
		Build struct {
			FinishedAt time.Time `json:"finished_at"`
		}
	}
	// One that retention dropped has no data.
	if json.Unmarshal(last.Data, &data) == nil && !data.Build.FinishedAt.IsZero() {
		days.add(data.Build.FinishedAt)
	}
	return nil
}

// deliveries are what the tracker reads, and how far it is.
type deliveries interface {
	Cursor(ctx context.Context, name string) (db.Cursor, error)
	ReadAll(ctx context.Context, q db.ReadQuery) ([]stream.Event, error)
}

// foldedUntil is up to when all that was delivered is in the builds: until now, or
// until the delivery came that the tracker has to fold next.
func foldedUntil(ctx context.Context, store deliveries, now time.Time) (time.Time, error) {
	tracker, err := store.Cursor(ctx, trackerCursor)
	if err != nil {
		return now, err
	}
	next, err := store.ReadAll(ctx, db.ReadQuery{After: tracker.Position, Delivered: true, Limit: 1})
	if err != nil {
		return now, err
	}
	if len(next) > 0 && next[0].Time.Before(now) {
		return next[0].Time, nil
	}
	return now, nil
}

// countedState is the cursor's state: the format that days were counted in, and up
// to when.
func countedState(until time.Time) string {
	return fmt.Sprintf("%d %s", stats.Format, until.UTC().Format(time.RFC3339Nano))
}

// countedUntil reads such a state; false where not all days were counted in this
// format.
func countedUntil(state string) (time.Time, bool) {
	format, text, _ := strings.Cut(state, " ")
	until, err := time.Parse(time.RFC3339, text)
	return until, err == nil && format == strconv.Itoa(stats.Format)
}

// daySet is a set of days of UTC, each by its start.
type daySet map[time.Time]bool

func (s daySet) add(times ...time.Time) {
	for _, t := range times {
		s[startOfDay(t)] = true
	}
}

func (s daySet) latestFirst() []time.Time {
	return slices.SortedFunc(maps.Keys(s), func(x, y time.Time) int { return y.Compare(x) })
}

// startOfDay is the start of a time's day, UTC.
func startOfDay(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

// countDay counts the builds that finished on a day, and replaces what was counted.
func (s *statistician) countDay(ctx context.Context, day time.Time, generation string) error {
	var counted stats.Day
	q := db.FinishedQuery{From: day, To: day.AddDate(0, 0, 1), Limit: statsBuilds}
	incidents, err := s.store.Incidents(ctx, q.From, q.To)
	if err != nil {
		return err
	}
	for _, i := range incidents {
		counted.Ended(stats.Of{Organization: i.Organization, Pipeline: i.Pipeline, Branch: i.Branch}, i.Ended.Sub(i.Began))
	}
	for {
		rows, err := s.store.Finished(ctx, q)
		if err != nil {
			return err
		}
		for _, r := range rows {
			b, err := build.Decode(r.Snapshot)
			if err != nil {
				continue // damaged: 'build-tracker rebuild' mends it
			}
			counted.Count(stats.Of{Organization: r.Organization, Pipeline: r.Pipeline, Branch: r.Branch}, b)
		}
		if len(rows) < statsBuilds {
			break
		}
		last := rows[len(rows)-1]
		q.From, q.AfterID = last.FinishedAt, last.ID
	}
	var tallies []db.Tally
	for of, t := range counted.All {
		tallies = append(tallies, db.Tally{
			Organization: of.Organization, Pipeline: of.Pipeline, Branch: of.Branch, Builds: t.Builds(), Data: t.Append(nil),
		})
	}
	return s.store.SetTallies(ctx, db.DayTallies{
		Cursor: statsCursor, Generation: generation, Day: day, Format: stats.Format, Tallies: tallies,
	})
}
