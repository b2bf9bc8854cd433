package buildtracker

import (
	stdcmp "cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	"github.com/build-tracker/build-tracker/analytics"
	"github.com/build-tracker/build-tracker/config"
	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/internal/testenv/bigquery"
	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
	"github.com/build-tracker/build-tracker/stream"
)

// exportRig is a rig with a BigQuery.
type exportRig struct {
	*rig
	bigquery *bigquery.Server
	mode     config.BigQuery
}

func newExportRig(t testing.TB, s stores) *exportRig {
	t.Helper()
	server, err := bigquery.New(bigquery.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	r := newRig(t, s)
	t.Cleanup(r.close)
	return &exportRig{rig: r, bigquery: server, mode: config.BigQuery{
		Project: "test", Dataset: "ci", Endpoint: server.URL(), StorageEndpoint: server.StorageAddr(),
	}}
}

// fill records a world and folds it, some events at a time, so that builds are
// told of as they go on.
func (r *exportRig) fill(seed int64, builds int) *traffic.World {
	r.t.Helper()
	dice := rand.New(rand.NewSource(seed))
	world := traffic.New(dice.Intn, traffic.Options{Builds: builds, Triggers: true, Name: fmt.Sprintf("w%d", seed)})
	for rest := world.Deliveries; len(rest) > 0; {
		n := min(1+dice.Intn(20), len(rest))
		r.append(rest[:n]...)
		r.fold()
		if dice.Intn(5) == 0 {
			r.speak()
		}
		rest = rest[n:]
	}
	return world
}

// exporter returns one that waits for nothing long, on a store of its own view.
func (r *exportRig) exporter(store exportStore) *exporter {
	r.t.Helper()
	to, err := openBigQuery(r.t.Context(), r.mode, slog.New(slog.DiscardHandler))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = to.close() }) // connections may have been cut
	return &exporter{
		store: store, to: to, metrics: &newMetrics().export, log: slog.New(slog.DiscardHandler),
		pace: exportPace{events: 60, interval: 2 * time.Millisecond, retry: time.Millisecond, quota: time.Millisecond, most: 10 * time.Millisecond},
	}
}

// run exports until the cursor is at the end of the stream.
func (r *exportRig) run(x *exporter) {
	r.t.Helper()
	ctx, stop := context.WithCancel(r.t.Context())
	var exporting sync.WaitGroup
	exporting.Go(func() { x.export(ctx) })
	r.awaitExport()
	stop()
	exporting.Wait()
}

func (r *exportRig) awaitExport() {
	r.t.Helper()
	await(r.t, "the export to be at the end of the stream", func() (bool, error) {
		head, err := r.db.Head(r.t.Context())
		if err != nil {
			return false, err
		}
		cursor, err := r.db.Cursor(r.t.Context(), exportCursor)
		return cursor.Position == head, err
	})
}

// want returns the rows that follow from the stream, by table.
func (r *exportRig) want() map[string][]bigquery.Row {
	r.t.Helper()
	d := analytics.NewDeriver(r.db)
	out := make(map[string][]bigquery.Row)
	for after := int64(0); ; {
		events, err := r.db.ReadAll(r.t.Context(), db.ReadQuery{After: after})
		if err != nil {
			r.t.Fatal(err)
		}
		if len(events) == 0 {
			return out
		}
		for i := range events {
			rows, err := d.Append(r.t.Context(), nil, &events[i])
			if err != nil {
				r.t.Fatal(err)
			}
			for _, row := range rows {
				out[row.Table.Name] = append(out[row.Table.Name], shown(row.Table.Columns, row.Values))
			}
		}
		after = events[len(events)-1].Position
	}
}

// shown is a row as BigQuery shows it.
func shown(columns []analytics.Column, values []any) bigquery.Row {
	out := make(bigquery.Row)
	for i, c := range columns {
		switch v := values[i].(type) {
		case nil:
		case []string:
			if len(v) > 0 {
				list := make([]any, len(v))
				for i, s := range v {
					list[i] = s
				}
				out[c.Name] = list
			}
		case []byte:
			out[c.Name] = string(v)
		case []any:
			out[c.Name] = shown(c.Columns, v)
		case time.Time:
			out[c.Name] = v.Truncate(time.Microsecond)
		default:
			out[c.Name] = v
		}
	}
	return out
}

// check compares the tables with what follows from the stream.
func (r *exportRig) check() {
	r.t.Helper()
	want := r.want()
	for _, t := range analytics.Tables() {
		if diff := cmp.Diff(want[t.Name], r.bigquery.Rows("ci", t.Name)); diff != "" {
			r.t.Errorf("table %s (-want +got):\n%.4000s", t.Name, diff)
		}
	}
}

func TestExportWritesTheRowsOfTheStream(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		r := newExportRig(t, s)
		r.fill(1, 12)
		r.run(r.exporter(r.db))
		r.check()
		for _, table := range []string{"events", "builds", "steps", "jobs", "notices"} {
			if len(r.bigquery.Rows("ci", table)) == 0 {
				t.Errorf("no rows in %s", table)
			}
		}
		r.fill(2, 6) // goes on where it was
		r.run(r.exporter(r.db))
		r.check()
	})
}

// unreliableStore fails commits of the export, before or after they are made, and
// its pages are never the same.
type unreliableStore struct {
	db.Store
	mu   sync.Mutex
	dice *rand.Rand
	odds int // one of so many fails; 0 for none
}

var errUnreliable = errors.New("the store is unreliable")

func (s *unreliableStore) roll(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n == 0 {
		return -1
	}
	return s.dice.Intn(n)
}

func (s *unreliableStore) Each(ctx context.Context, q db.ReadQuery, do func(*stream.Event) error) error {
	q.Limit = 3 + s.roll(40)
	return s.Store.Each(ctx, q, do)
}

func (s *unreliableStore) Commit(ctx context.Context, b db.Batch) error {
	switch s.roll(s.odds) {
	case 0:
		return errUnreliable
	case 1:
		if err := s.Store.Commit(ctx, b); err != nil {
			return err
		}
		return errUnreliable
	}
	return s.Store.Commit(ctx, b)
}

// A storm: BigQuery drops connections before and after it stored rows, is down,
// refuses for a time and refuses some rows for good, the database loses answers,
// and exporters end at any moment, or overlap. Every row is there once.
func TestExportWritesEachRowOnceInAStorm(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		r := newExportRig(t, s)
		dice := rand.New(rand.NewSource(7))
		r.bigquery.SetReject(refuseOnce())
		store := &unreliableStore{Store: r.db, dice: rand.New(rand.NewSource(8)), odds: 6}
		for round := range 20 {
			r.fill(int64(10+round), 6)
			ctx, crash := context.WithCancel(t.Context())
			var exporting sync.WaitGroup
			for range 1 + dice.Intn(2) {
				x := r.exporter(store)
				exporting.Go(func() { x.export(ctx) })
			}
			for range 6 {
				switch dice.Intn(6) {
				case 0:
					r.bigquery.DropBefore(1 + dice.Intn(3))
				case 1:
					r.bigquery.DropAfter(1 + dice.Intn(3))
				case 2:
					r.bigquery.FailAppends([]codes.Code{codes.Unavailable, codes.ResourceExhausted, codes.Internal, codes.Aborted}[dice.Intn(4)], 1+dice.Intn(3))
				case 3:
					r.bigquery.SetDown(true)
					r.bigquery.SetDown(false)
				case 4:
					r.bigquery.FailREST(503, 1)
				case 5:
					r.bigquery.FailCalls(codes.Unavailable, 1)
				}
				moment(t, time.Duration(dice.Intn(20))*time.Millisecond)
			}
			crash()
			exporting.Wait()
		}
		store.odds = 0
		r.bigquery.DropBefore(0)
		r.bigquery.DropAfter(0)
		r.run(r.exporter(store))

		got := make(map[string][]bigquery.Row)
		for _, row := range r.bigquery.Rows("ci", "rejected") {
			var refused bigquery.Row
			if err := json.Unmarshal([]byte(row["row"].(string)), &refused); err != nil {
				t.Fatal(err)
			}
			table := row["table"].(string)
			got[table] = append(got[table], refused)
		}
		if n := len(got["jobs"]) + len(got["events"]); n < 20 {
			t.Errorf("only %d rows were refused", n)
		}
		for name, want := range r.want() {
			if name == "rejected" {
				continue
			}
			rows := places(t, r.bigquery.Rows("ci", name))
			if !slices.IsSortedFunc(rows, place.compare) {
				t.Errorf("the rows of %s are in another order than their events", name)
			}
			rows = append(rows, places(t, got[name])...)
			slices.SortFunc(rows, place.compare)
			if diff := cmp.Diff(places(t, want), rows); diff != "" {
				t.Errorf("rows of %s and those of it in rejected (-want +got):\n%.3000s", name, diff)
			}
		}
	})
}

// refuseOnce refuses some rows when it sees them first, and takes them later: what
// was told to be in rejected must not come to its table then.
func refuseOnce() func(table string, row bigquery.Row) string {
	var mu sync.Mutex
	seen := make(map[string]bool)
	return func(table string, row bigquery.Row) string {
		position, _ := row["position"].(int64)
		key := fmt.Sprint(table, position, row["index"])
		mu.Lock()
		defer mu.Unlock()
		if seen[key] || (table != "jobs" || position%3 > 0) && (table != "events" || position%37 > 0) {
			return ""
		}
		seen[key] = true
		return "this row is not to be had"
	}
}

// place is where a row stands in its table.
type place struct{ Position, Index int64 }

func (p place) compare(q place) int {
	return stdcmp.Or(stdcmp.Compare(p.Position, q.Position), stdcmp.Compare(p.Index, q.Index))
}

func places(t *testing.T, rows []bigquery.Row) []place {
	t.Helper()
	out := make([]place, len(rows))
	for i, row := range rows {
		out[i] = place{whole(t, row["position"]), whole(t, row["index"])}
	}
	return out
}

// whole returns a number of a row, or of its JSON; 0 for none.
func whole(t *testing.T, v any) int64 {
	t.Helper()
	switch v := v.(type) {
	case nil:
		return 0
	case int64:
		return v
	case float64:
		return int64(v)
	}
	t.Fatalf("%v is no number", v)
	return 0
}

// moment lets some time pass, in which anything may happen.
func moment(t *testing.T, d time.Duration) {
	t.Helper()
	sleep(t.Context(), d)
}
