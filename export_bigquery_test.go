package buildtracker

import (
	"context"
	"errors"
	"log/slog"
	"math/rand"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	"github.com/build-tracker/build-tracker/analytics"
	"github.com/build-tracker/build-tracker/config"
	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/internal/testenv"
	"github.com/build-tracker/build-tracker/internal/testenv/bigquery"
	"github.com/build-tracker/build-tracker/stream"
)

// options ask for an export of all to the rig's BigQuery.
func (r *exportRig) options(s stores, out string) ExportOptions {
	times := r.times()
	o := exportOptions(s, config.ExportBigQuery, out, times[0], times[len(times)-1].Add(time.Second))
	o.Config.BigQuery = r.mode
	return o
}

// compare holds the tables to rows.
func (r *exportRig) compare(want map[string][]bigquery.Row) {
	r.t.Helper()
	for _, t := range analytics.Tables() {
		if diff := cmp.Diff(want[t.Name], r.bigquery.Rows("ci", t.Name)); diff != "" {
			r.t.Errorf("table %s (-want +got):\n%.3000s", t.Name, diff)
		}
	}
}

// mortalSource ends the export at some page.
type mortalSource struct {
	exportSource
	pages int
	kill  context.CancelFunc
}

func (s *mortalSource) ReadAll(ctx context.Context, q db.ReadQuery) ([]stream.Event, error) {
	if s.pages--; s.pages == 0 {
		s.kill()
	}
	q.Limit = min(q.Limit, 5+s.pages%30) // pages differ from run to run
	return s.exportSource.ReadAll(ctx, q)
}

// Crashes at any moment, a BigQuery that drops connections, and a range that ends
// before the stream does: each row of the range is there once.
func TestExportToBigQueryResumedWritesEachRowOnce(t *testing.T) {
	t.Parallel()
	r := newExportRig(t, embeddedStores(t))
	r.fill(8, 10)
	ledger := &exportLedger{To: config.ExportBigQuery, exportRange: exportRange{Last: r.head()}, Rows: make(map[string]int64)}
	want := r.want()
	r.fill(9, 2) // not of the range

	path := t.TempDir()
	dice := rand.New(rand.NewSource(3))
	crashes := 0
	for done := false; !done; {
		folder, err := openExportFolder(path)
		if err != nil {
			t.Fatal(err)
		}
		if kept, err := folder.ledger(); err != nil {
			t.Fatal(err)
		} else if kept != nil {
			ledger = kept
		}
		to, err := openBigQuery(t.Context(), r.mode, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		to.repeats = true
		ctx, kill := context.WithCancel(t.Context())
		x := &bigQueryExport{
			source: &mortalSource{exportSource: r.db, pages: 2 + dice.Intn(6), kill: kill},
			folder: folder, ledger: ledger, to: to, progress: func(int64, int64) {}, log: slog.New(slog.DiscardHandler),
			pace: exportPace{events: 60, retry: time.Millisecond, quota: time.Millisecond, most: 10 * time.Millisecond},
		}
		switch dice.Intn(3) {
		case 0:
			r.bigquery.DropAfter(1 + dice.Intn(3))
		case 1:
			r.bigquery.FailAppends(codes.Unavailable, 1)
		}
		err = x.run(ctx)
		done = err == nil
		if !done {
			if crashes++; !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		kill()
		_ = to.close() // connections may have been cut
		folder.Close()
	}
	if crashes < 3 {
		t.Errorf("there were %d crashes only", crashes)
	}
	r.compare(want)
	for table, rows := range want {
		if n := ledger.Rows[table]; n != int64(len(rows)) {
			t.Errorf("%d rows of %s were counted, want %d", n, table, len(rows))
		}
	}
	if _, ok := r.bigquery.Table("ci", "jobs_once"); !ok {
		t.Error("there is no view without the rows of an earlier export")
	}
}

// PostgreSQL is read beside whoever writes it.
func TestExportToBigQueryLeavesTheServersCursor(t *testing.T) {
	t.Parallel()
	s := stores{name: "postgres", database: testenv.Postgres(t), redis: testenv.Redis(t)}
	r := newExportRig(t, s)
	r.fill(7, 5)
	want := r.want()
	done, err := Export(t.Context(), r.options(s, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	r.compare(want)
	if len(done.Tables) != len(want) {
		t.Errorf("rows of %d tables, want %d", len(done.Tables), len(want))
	}
	if c, err := r.db.Cursor(t.Context(), exportCursor); err != nil || c.Position != 0 {
		t.Errorf("the server's cursor is %+v, %v", c, err)
	}
}

func TestExportMigratesNoDatabase(t *testing.T) {
	t.Parallel()
	s := stores{database: testenv.Postgres(t)}
	o := exportOptions(s, config.ExportJSONL, t.TempDir(), time.Now().Add(-time.Hour), time.Now())
	for range 2 {
		if _, err := Export(t.Context(), o); err == nil || !strings.Contains(err.Error(), "run 'build-tracker migrate'") {
			t.Errorf("error %v", err)
		}
	}
}
