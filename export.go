package buildtracker

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/build-tracker/build-tracker/analytics"
	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/stream"
)

// exportCursor is the name of the cursor of the export to BigQuery.
const exportCursor = "bigquery"

// After a batch of fewer events and bytes than these the next one waits, so that
// it is larger.
const (
	smallBatch = 1000
	smallBytes = 1 << 20
)

// exportPace is how much an exporter does at once, and how long it waits.
type exportPace struct {
	// events bounds a batch; the store's pages bound its bytes.
	events int
	// interval is from one batch to the next while little happens.
	interval time.Duration
	// retry is how long what failed waits before it is tried again, and quota the
	// same where a quota is spent. They double with each failure, up to most.
	retry, quota, most time.Duration
}

func newExportPace() exportPace {
	return exportPace{events: 4000, interval: time.Second, retry: 100 * time.Millisecond, quota: 2 * time.Second, most: 30 * time.Second}
}

// exportStore is what an export needs of the database.
type exportStore interface {
	analytics.Events
	Cursor(ctx context.Context, name string) (db.Cursor, error)
	Begin(ctx context.Context, name string, c db.Cursor) error
	Commit(ctx context.Context, b db.Batch) error
	ReadAll(ctx context.Context, q db.ReadQuery) ([]stream.Event, error)
}

// exporter writes the rows that follow from the stream to BigQuery, each once.
//
// Rows are a function of the stream. Before those of a batch are appended, the
// database knows up to which event the batch goes, and for each table the stream
// and the offset of its first row. So whoever comes after a crash appends the same
// rows at the same offsets, and BigQuery refuses those that it has.
//
// A BigQuery that is slow or away holds up this cursor and nothing else.
type exporter struct {
	store   exportStore
	to      *bigQuery
	duty    *duty
	pace    exportPace
	metrics *exportMetrics
	log     *slog.Logger
}

// run exports whenever this replica has the lease, until ctx ends.
func (x *exporter) run(ctx context.Context) { x.duty.run(ctx, x.export) }

func (x *exporter) export(ctx context.Context) {
	x.log.Info("this replica exports to BigQuery", "project", x.to.project, "dataset", x.to.dataset.DatasetID)
	var quiet sometimes
	for failures := 1; ctx.Err() == nil; failures++ {
		err := x.session(ctx, func() { failures = 0 })
		if err == nil || ctx.Err() != nil {
			return
		}
		quiet.do(func() { x.log.Warn("the export to BigQuery waits", "error", err) })
		sleep(ctx, jitter(backoff(failures+1, x.pace.retry, x.pace.most)))
	}
}

// session takes the cursor over, finishes the batch that somebody began, and goes
// on until something fails or ctx ends. It calls progress after each batch.
func (x *exporter) session(ctx context.Context, progress func()) error {
	cursor, err := x.store.Cursor(ctx, exportCursor)
	if err != nil {
		return err
	}
	generation := uuid.NewString()
	if err := x.store.Begin(ctx, exportCursor, db.Cursor{Position: cursor.Position, Generation: generation}); err != nil {
		return fmt.Errorf("take the export over: %w", err)
	}
	if err := x.to.prepare(ctx); err != nil {
		return fmt.Errorf("prepare BigQuery: %w", err)
	}
	s := &exportSession{exporter: x, at: cursor.Position, generation: generation}
	if err := s.open(cursor.State); err != nil {
		return err
	}
	defer s.close()

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	work, ctx := errgroup.WithContext(ctx)
	batches := make(chan *exportBatch)
	work.Go(func() error { return s.derive(ctx, batches) })
	work.Go(func() error { return s.write(ctx, batches, progress) })
	return work.Wait()
}

// exportBatch is what follows from the events up to one.
type exportBatch struct {
	to            int64
	tables        []*exportRows // in the order of analytics.Tables
	events, bytes int
	last          time.Time // when the last event was recorded
}

// exportRows are rows of one table, and as they are appended.
type exportRows struct {
	rows    []analytics.Row
	encoded [][]byte
}

// derive reads the stream from the session's cursor on and hands batches on. It is
// one batch ahead of what is written.
func (s *exportSession) derive(ctx context.Context, batches chan<- *exportBatch) error {
	deriver := analytics.NewDeriver(s.store)
	after := s.at
	if s.state.Plan != nil {
		b, err := s.readTo(ctx, deriver, after, s.state.Plan.To)
		if err != nil {
			return err
		}
		if !handOn(ctx, batches, b) {
			return nil
		}
		after = b.to
	}
	for {
		b := s.newBatch(after)
		if err := s.read(ctx, deriver, b, db.ReadQuery{After: after, Limit: s.pace.events}); err != nil {
			return err
		}
		if b.to > after {
			if !handOn(ctx, batches, b) {
				return nil
			}
			after = b.to
		}
		if b.events < smallBatch && b.bytes < smallBytes && !sleep(ctx, s.pace.interval) {
			return nil
		}
	}
}

func handOn(ctx context.Context, batches chan<- *exportBatch, b *exportBatch) bool {
	select {
	case batches <- b:
		return true
	case <-ctx.Done():
		return false
	}
}

// readTo returns the batch that was to go up to an event, whatever a page holds
// now, and whatever retention has dropped of it.
func (s *exportSession) readTo(ctx context.Context, d *analytics.Deriver, after, to int64) (*exportBatch, error) {
	b := s.newBatch(after)
	for before := after - 1; b.to > before && b.to < to; {
		before = b.to
		if err := s.read(ctx, d, b, db.ReadQuery{After: b.to, UpTo: to, Limit: s.pace.events}); err != nil {
			return nil, err
		}
	}
	b.to = to
	return b, nil
}

// read adds the rows of a page of events to a batch.
func (s *exportSession) read(ctx context.Context, d *analytics.Deriver, b *exportBatch, q db.ReadQuery) error {
	events, err := s.store.ReadAll(ctx, q)
	if err != nil {
		return fmt.Errorf("read events to export: %w", err)
	}
	var rows []analytics.Row
	for i := range events {
		e := &events[i]
		if rows, err = d.Append(ctx, rows[:0], e); err != nil {
			return err
		}
		for _, r := range rows {
			s.add(b, r)
		}
		b.to = e.Position
		b.last = e.Time
		b.events++
		b.bytes += len(e.Data)
		e.Data = nil // the rows have it
	}
	return nil
}

func (s *exportSession) add(b *exportBatch, r analytics.Row) {
	to := b.tables[s.places[r.Table]]
	encoded, err := s.writers[s.places[r.Table]].encoder.encode(r.Values)
	if err != nil {
		s.metrics.rejected.WithLabelValues(r.Table.Name).Inc()
		r = r.Rejected(err.Error())
		to = b.tables[s.places[r.Table]]
		if encoded, err = s.writers[s.places[r.Table]].encoder.encode(r.Values); err != nil { // its texts are cut, and were read
			s.log.Error("a row can be written neither to its table nor to rejected: it is left out", "position", r.Values[1], "error", err)
			return
		}
	}
	to.rows, to.encoded = append(to.rows, r), append(to.encoded, encoded)
}
