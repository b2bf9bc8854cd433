package buildtracker

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gcloud "cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/api/option"
	"google.golang.org/grpc/codes"

	"github.com/build-tracker/build-tracker/analytics"
	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/internal/testenv/bigquery"
)

func TestExportMakesTablesAsDocumented(t *testing.T) {
	t.Parallel()
	r := newExportRig(t, embeddedStores(t))
	x := r.exporter(r.db)
	for range 2 { // there is nothing to do the second time
		if err := x.to.prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range analytics.Tables() {
		got, ok := r.bigquery.Table("ci", want.Name)
		if !ok {
			t.Errorf("there is no table %s", want.Name)
			continue
		}
		if p := got.TimePartitioning; p == nil || p.Type != "DAY" || p.Field != "time" || !got.RequirePartitionFilter {
			t.Errorf("%s is partitioned by %+v, filter required: %v", want.Name, p, got.RequirePartitionFilter)
		}
		if c := got.Clustering; c == nil || !slices.Equal(c.Fields, []string{"organization", "pipeline", "branch", "type"}) {
			t.Errorf("%s is clustered by %+v", want.Name, c)
		}
		for i, f := range got.Schema.Fields {
			if f.Name != want.Columns[i].Name || f.Description == "" {
				t.Errorf("column %d of %s is %s with the description %q, want %s", i, want.Name, f.Name, f.Description, want.Columns[i].Name)
			}
		}
	}
	if view, ok := r.bigquery.Table("ci", "builds_latest"); !ok || view.View == nil || !strings.Contains(view.View.Query, "`test.ci.builds`") {
		t.Errorf("the view builds_latest is %+v", view)
	}
	if _, ok := r.bigquery.Table("ci", "jobs_once"); ok {
		t.Error("there is a view of jobs without duplicates, and jobs has none")
	}
}

// A table that an earlier version made, with rows in it.
func TestExportAddsColumnsToTablesWithRows(t *testing.T) {
	t.Parallel()
	r := newExportRig(t, embeddedStores(t))
	client, err := gcloud.NewClient(t.Context(), "test", option.WithEndpoint(r.bigquery.URL()+"/bigquery/v2/"), option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Dataset("ci").Create(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	for _, table := range analytics.Tables() {
		// A column less, a nested one too, and one of somebody else's.
		old := bigQuerySchema(table.Columns[:len(table.Columns)-1])
		for _, f := range old {
			if f.Name == "author" {
				f.Schema = f.Schema[:1]
			}
		}
		old = append(old, &gcloud.FieldSchema{Name: "note", Type: gcloud.StringFieldType})
		if err := client.Dataset("ci").Table(table.Name).Create(t.Context(), &gcloud.TableMetadata{Schema: old}); err != nil {
			t.Fatal(err)
		}
	}
	r.fill(1, 6)
	r.run(r.exporter(r.db))
	r.check()
	for _, table := range analytics.Tables() {
		got, _ := r.bigquery.Table("ci", table.Name)
		last := table.Columns[len(table.Columns)-1]
		if n := len(got.Schema.Fields); n != len(table.Columns)+1 || got.Schema.Fields[n-1].Name != last.Name || got.Schema.Fields[n-2].Name != "note" {
			t.Errorf("%s has the columns %+v", table.Name, got.Schema.Fields)
		}
	}
}

func TestExportGoesOnWhenStreamsAreGone(t *testing.T) {
	t.Parallel()
	r := newExportRig(t, embeddedStores(t))
	r.fill(1, 6)
	r.run(r.exporter(r.db))
	for _, table := range analytics.Tables() {
		for _, s := range r.bigquery.Streams("ci", table.Name) {
			r.bigquery.Forget(s.Name)
		}
	}
	r.fill(2, 6)
	r.run(r.exporter(r.db))
	r.check()
}

// A stream that somebody ended tells how much it took.
func TestExportGoesOnWhenStreamsAreEnded(t *testing.T) {
	t.Parallel()
	r := newExportRig(t, embeddedStores(t))
	r.fill(1, 6)
	x := r.exporter(r.db)
	r.run(x)
	for i, table := range analytics.Tables() {
		w := &tableWriter{to: x.to, table: table, encoder: encoderOf(t, table)}
		for _, s := range r.bigquery.Streams("ci", table.Name) {
			if _, err := w.finalize(t.Context(), s.Name); err != nil {
				t.Fatal(i, err)
			}
		}
		w.close()
	}
	r.fill(2, 6)
	r.run(r.exporter(r.db))
	r.check()
}

// BigQuery may still work on a request of an exporter that is gone, and take rows
// of which it refused one to the exporter that goes on.
func TestExportIsNotOvertakenByARequestOnItsWay(t *testing.T) {
	t.Parallel()
	r := newExportRig(t, embeddedStores(t))
	r.fill(1, 6)
	first := r.want()["builds"][0]["position"]
	arrived, goOn := make(chan struct{}), make(chan struct{})
	var seen atomic.Int32
	r.bigquery.SetReject(func(table string, row bigquery.Row) string {
		if table != "builds" || row["position"] != first {
			return ""
		}
		switch seen.Add(1) {
		case 1:
			close(arrived)
			<-goOn
		case 2:
			before := r.bigquery.Counts()
			close(goOn)
			for now := before; now.Appends+now.Misplaced == before.Appends+before.Misplaced && t.Context().Err() == nil; {
				runtime.Gosched()
				now = r.bigquery.Counts()
			}
			return "this row is not to be had"
		}
		return ""
	})
	ctx, crash := context.WithCancel(t.Context())
	var exporting sync.WaitGroup
	exporting.Go(func() { r.exporter(r.db).export(ctx) })
	<-arrived
	crash()
	exporting.Wait()
	r.run(r.exporter(r.db))

	if n := len(r.bigquery.Rows("ci", "rejected")); n != 1 {
		t.Errorf("%d rows were refused, want 1", n)
	}
	want, got := places(t, r.want()["builds"]), places(t, r.bigquery.Rows("ci", "builds"))
	if diff := cmp.Diff(want[1:], got); diff != "" {
		t.Errorf("rows of builds but for the refused one (-want +got):\n%.3000s", diff)
	}
}

func encoderOf(t *testing.T, table *analytics.Table) *rowEncoder {
	t.Helper()
	e, err := newRowEncoder(table)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// Of a batch that another version began, other rows follow now.
func TestExportFinishesABatchOfAnotherVersion(t *testing.T) {
	t.Parallel()
	r := newExportRig(t, embeddedStores(t))
	r.fill(1, 6)
	// The first commit tells of the batch, the second fails: its rows are there.
	failing := &failingStore{Store: r.db, after: 1}
	ctx, stop := context.WithCancel(t.Context())
	failing.failed = stop
	r.exporter(failing).export(ctx)
	cursor, err := r.db.Cursor(t.Context(), exportCursor)
	if err != nil || cursor.Position != 0 || !strings.Contains(cursor.State, `"sums"`) {
		t.Fatalf("the batch was not left half done: %+v, %v", cursor, err)
	}
	for _, table := range analytics.Tables() {
		cursor.State = strings.ReplaceAll(cursor.State, `"`+table.Name+`":"`, `"`+table.Name+`":"other`)
	}
	if err := r.db.Commit(t.Context(), db.Batch{Cursor: exportCursor, Generation: cursor.Generation, State: cursor.State}); err != nil {
		t.Fatal(err)
	}
	r.run(r.exporter(r.db))
	r.check()
}

// failingStore fails commits of the export after some.
type failingStore struct {
	db.Store
	mu     sync.Mutex
	after  int
	failed func()
}

func (s *failingStore) Commit(ctx context.Context, b db.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.after--; s.after < 0 {
		s.failed()
		return errUnreliable
	}
	return s.Store.Commit(ctx, b)
}

func TestExportToDefaultStreamsLosesNothing(t *testing.T) {
	t.Parallel()
	r := newExportRig(t, embeddedStores(t))
	r.fill(1, 6)
	r.mode.DefaultStream = true
	r.bigquery.DropAfter(2)
	r.run(r.exporter(r.db))
	want := r.want()
	twice := 0
	for _, table := range analytics.Tables() {
		rows := r.bigquery.Rows("ci", table.Name)
		twice += len(rows) - len(want[table.Name])
		got := places(t, rows)
		slices.SortFunc(got, place.compare)
		if diff := cmp.Diff(places(t, want[table.Name]), slices.Compact(got)); diff != "" {
			t.Errorf("rows of %s, each once (-want +got):\n%.3000s", table.Name, diff)
		}
		if view, ok := r.bigquery.Table("ci", table.Name+"_once"); !ok || view.View == nil {
			t.Errorf("there is no view of %s without duplicates", table.Name)
		}
	}
	if twice == 0 {
		t.Error("no answer was lost: no row is there twice")
	}
}

// What was begun in one way is finished in the other; nothing is skipped.
func TestExportMayChangeItsWay(t *testing.T) {
	t.Parallel()
	r := newExportRig(t, embeddedStores(t))
	for round := range 4 {
		r.fill(int64(round), 4)
		r.mode.DefaultStream = round%2 == 1
		failing := &failingStore{Store: r.db, after: 1 + round%2}
		ctx, stop := context.WithCancel(t.Context())
		failing.failed = stop
		r.exporter(failing).export(ctx)
	}
	r.mode.DefaultStream = false
	r.run(r.exporter(r.db))
	want := r.want()
	for _, table := range analytics.Tables() {
		got := places(t, r.bigquery.Rows("ci", table.Name))
		slices.SortFunc(got, place.compare)
		if diff := cmp.Diff(places(t, want[table.Name]), slices.Compact(got)); diff != "" {
			t.Errorf("rows of %s, each once (-want +got):\n%.3000s", table.Name, diff)
		}
	}
}

// A BigQuery that cannot be reached at all is told of and counted.
func TestExportTellsThatBigQueryIsAway(t *testing.T) {
	t.Parallel()
	r := newExportRig(t, embeddedStores(t))
	r.fill(1, 1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	r.mode.Endpoint, r.mode.StorageEndpoint = "http://"+addr, addr
	said := new(logged)
	x := r.exporter(r.db)
	x.log, x.metrics, x.to.patience = slog.New(slog.NewTextHandler(said, nil)), &newMetrics().export, 50*time.Millisecond
	ctx, stop := context.WithCancel(t.Context())
	var exporting sync.WaitGroup
	exporting.Go(func() { x.export(ctx) })
	await(t, "failures", func() (bool, error) {
		return testutil.ToFloat64(x.metrics.failures.WithLabelValues(sessionFailed)) > 1, nil
	})
	stop()
	exporting.Wait()
	if text := said.String(); !strings.Contains(text, "the export to BigQuery waits") || !strings.Contains(text, "connection refused") {
		t.Errorf("the log is %s", text)
	}
}

// While BigQuery is away events pile up in the store, and not in memory.
func TestExportHoldsLittleWhileBigQueryIsAway(t *testing.T) {
	r := newExportRig(t, embeddedStores(t)) // alone: it looks at the memory of the process
	r.fill(1, 1)
	x := r.exporter(r.db)
	x.pace.events = newExportPace().events
	r.run(x)
	const events, size = 10_000, 16 << 10
	text := strings.Repeat("x", size)
	var appending sync.WaitGroup
	for p := range 8 {
		appending.Go(func() {
			for n := p; n < events; n += 8 {
				d := db.Delivery{
					Organization: "acme", BuildID: fmt.Sprint("build", n%50), Pipeline: "web", Number: int64(n % 50), Type: "job.finished",
					Data: fmt.Appendf(nil, `{"n":%d,"text":%q}`, n, text),
				}
				d.Key[0], d.Key[1], d.Key[2] = byte(n), byte(n>>8), 'k'
				if _, err := r.db.Append(t.Context(), d); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	appending.Wait()
	before := heap()
	ctx, stop := context.WithCancel(t.Context())
	var exporting sync.WaitGroup
	failures := &newMetrics().export
	x = r.exporter(r.db)
	x.pace.events, x.metrics = newExportPace().events, failures
	r.bigquery.FailAppends(codes.Unavailable, bigquery.Always)
	exporting.Go(func() { x.export(ctx) })
	await(t, "many failures", func() (bool, error) {
		return testutil.ToFloat64(failures.failures.WithLabelValues(string(tryAgain))) > 20, nil
	})
	if grown := heap() - before; grown > 64<<20 {
		t.Errorf("%d MB of events are in memory, of %d MB that wait", grown>>20, events*size>>20)
	}
	r.bigquery.FailAppends(codes.Unavailable, 0)
	r.awaitExport()
	stop()
	exporting.Wait()
	if got, want := len(r.bigquery.Rows("ci", "events")), len(r.want()["events"]); got != want {
		t.Errorf("%d events came, want %d", got, want)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestRowsThatBigQueryCannotHoldAreRejected(t *testing.T) {
	t.Parallel()
	table := analytics.Tables()[0]
	e := encoderOf(t, table)
	row := func(at time.Time, data string) analytics.Row {
		return analytics.Row{Table: table, Values: []any{at, int64(1), "acme", nil, nil, "x", "id", nil, nil, int64(1), data}}
	}
	now := time.Now()
	for name, tc := range map[string]struct {
		row  analytics.Row
		want string
	}{
		"too large":     {row(now, strings.Repeat("x", maxBigQueryRow)), "a row may have 9500000"},
		"no UTF-8":      {row(now, "\xff"), "no UTF-8"},
		"a year 0":      {row(time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), "{}"), "not between the years 1 and 9999"},
		"lacks what it": {analytics.Row{Table: table, Values: make([]any, len(table.Columns))}, "column time is empty"},
	} {
		if _, err := e.encode(nil, tc.row.Values); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	rejected := row(now, strings.Repeat("ü", maxBigQueryRow/2)).Rejected("too large")
	if _, err := encoderOf(t, rejected.Table).encode(nil, rejected.Values); err != nil {
		t.Errorf("the rejected row: %v", err)
	}
}
