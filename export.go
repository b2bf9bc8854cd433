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
	Each(ctx context.Context, q db.ReadQuery, do func(*stream.Event) error) error
}

// exporter writes the rows that follow from the stream to BigQuery, each once.
//
// Rows are a function of the stream. Before those of a batch are appended, the
// database knows up to which event the batch goes, and for each table the stream
// and the offset of its first row. So whoever comes after a crash makes the same
// rows, and learns from the streams which of them they have.
//
// A BigQuery that is slow or away holds up this cursor and nothing else.
type exporter struct {
	store   exportStore
	to      *bigQuery
	duty    *duty
	pace    exportPace
	metrics *exportMetrics
	log     *slog.Logger
	// until is the position that a session ends at; 0 for none.
	until int64
}

// run exports whenever this replica has the lease, until ctx ends.
func (x *exporter) run(ctx context.Context) { x.duty.run(ctx, x.export) }

func (x *exporter) export(ctx context.Context) {
	x.log.Info("this replica exports to BigQuery", "project", x.to.project, "dataset", x.to.dataset.DatasetID)
	var quiet sometimes
	for failures := 1; ctx.Err() == nil; failures++ {
		err := x.session(ctx, func(*exportBatch) { failures = 0 })
		if err == nil || ctx.Err() != nil {
			return
		}
		x.metrics.failures.WithLabelValues(sessionFailed).Inc()
		quiet.do(func() { x.log.Warn("the export to BigQuery waits", "error", err) })
		sleep(ctx, jitter(backoff(failures+1, x.pace.retry, x.pace.most)))
	}
}

// session takes the cursor over, finishes the batch that somebody began, and goes
// on until something fails or ctx ends, or it is where the exporter is to end. It
// calls progress after each batch.
func (x *exporter) session(ctx context.Context, progress func(*exportBatch)) error {
	cursor, err := x.store.Cursor(ctx, exportCursor)
	if err != nil {
		return err
	}
	generation := uuid.NewString()
	if err := x.store.Begin(ctx, exportCursor, db.Cursor{Position: cursor.Position, Generation: generation}); err != nil {
		return fmt.Errorf("take the export over: %w", err)
	}
	// Only from here on nobody else changes the state.
	if cursor, err = x.store.Cursor(ctx, exportCursor); err != nil {
		return err
	}
	if err := x.to.prepare(ctx); err != nil {
		return fmt.Errorf("prepare BigQuery: %w", err)
	}
	s := &exportSession{exporter: x, at: cursor.Position, generation: generation, written: make(chan *exportBatch, batchesAhead)}
	if err := s.open(cursor.State); err != nil {
		return err
	}
	defer s.close()

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	work, ctx := errgroup.WithContext(ctx)
	batches := make(chan *exportBatch, batchesAhead)
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

// exportRows are rows of one table, as they are appended.
type exportRows struct {
	encoded [][]byte
	origins []rowOrigin
	chunk   []byte   // what the next rows are written behind
	chunks  [][]byte // with those before
	spare   [][]byte // of the batch that had this room before
	last    rowOrigin
	// late: an append failed, and its rows may still be on their way.
	late bool
}

// clear makes room for other rows: as much as these had.
func (r *exportRows) clear() {
	*r = exportRows{encoded: r.encoded[:0], origins: r.origins[:0], spare: r.chunks}
}

// rowOrigin says which row it is: the nth of its table that follows from the event
// at a position, from 0.
type rowOrigin struct {
	position int64
	nth      int
}

// chunkBytes is how much room rows share.
const chunkBytes = 256 << 10

// add encodes a row. The error says why BigQuery cannot hold it: it is left out.
func (r *exportRows) add(e *rowEncoder, position int64, values []any) error {
	if r.last.position == position {
		r.last.nth++
	} else {
		r.last = rowOrigin{position: position}
	}
	size := encodedSize(values)
	if cap(r.chunk)-len(r.chunk) < size {
		r.grow(size)
	}
	begin := len(r.chunk)
	chunk, err := e.encode(r.chunk, values)
	if err != nil {
		return err
	}
	r.chunk = chunk
	r.encoded = append(r.encoded, chunk[begin:len(chunk):len(chunk)])
	r.origins = append(r.origins, r.last)
	return nil
}

// grow makes room for a row.
func (r *exportRows) grow(size int) {
	switch last := len(r.spare) - 1; {
	case size > chunkBytes:
		r.chunk = make([]byte, 0, size) // is not used again
		return
	case last >= 0:
		r.chunk, r.spare = r.spare[last][:0], r.spare[:last]
	default:
		r.chunk = make([]byte, 0, chunkBytes)
	}
	r.chunks = append(r.chunks, r.chunk)
}

// batchesAhead is how many batches wait to be written, behind one that is and before
// one that is derived.
const batchesAhead = 1

// derive reads the stream from the session's cursor on and hands batches on.
func (s *exportSession) derive(ctx context.Context, batches chan<- *exportBatch) error {
	defer close(batches)
	deriver := analytics.NewDeriver(s.store)
	after, limit := s.at, min(firstEvents, s.pace.events)
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
	for s.until == 0 || after < s.until {
		p := exportPage{last: s.newBatch(after)}
		split := func() { s.split(&p, batches) }
		if err := s.read(ctx, deriver, &p, db.ReadQuery{After: after, UpTo: s.until, Limit: limit}, split); err != nil {
			return err
		}
		if p.events == 0 && s.until > 0 {
			p.last.to = s.until // retention has dropped what was there
		}
		limit = p.nextLimit(limit, s.pace.events)
		after = max(after, p.to)
		for _, b := range append(p.full, p.last) {
			if b.to > after && !handOn(ctx, batches, b) {
				return nil
			}
			after = b.to
		}
		if p.events < smallBatch && p.bytes < smallBytes && s.until == 0 && !sleep(ctx, s.pace.interval) {
			return nil
		}
	}
	return nil
}

// exportPage is what follows from the events of one read.
type exportPage struct {
	to            int64          // what was handed on goes up to here; 0 for nothing
	full          []*exportBatch // what was not
	last          *exportBatch   // there is room in it
	events, bytes int
}

// split ends the page's last batch if it is large enough, and hands on what the
// writer has room for. It does not wait: the read holds a connection.
func (s *exportSession) split(p *exportPage, batches chan<- *exportBatch) {
	if p.last.bytes < batchBytes {
		return
	}
	p.full = append(p.full, p.last)
	p.last = s.newBatch(p.last.to)
	for len(p.full) > 0 {
		select {
		case batches <- p.full[0]:
			p.to, p.full = p.full[0].to, p.full[1:]
		default:
			return
		}
	}
}

// batchBytes is how much data the events of a batch have; the last one may have more.
// Of a page, as many events are asked for as held so much before.
const (
	firstEvents = 500
	batchBytes  = 16 << 20
)

// nextLimit is how many events the page after this one may have, which had limit.
func (p *exportPage) nextLimit(limit, most int) int {
	if p.events < limit/2 {
		return limit
	}
	return min(max(p.events*batchBytes/max(p.bytes, 1), 1), 2*limit, most)
}

// handOn hands a batch to the writer, and says whether that goes on.
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
	p := exportPage{last: s.newBatch(after)}
	whole := func() {}
	for before := after - 1; p.last.to > before && p.last.to < to; {
		before = p.last.to
		if err := s.read(ctx, d, &p, db.ReadQuery{After: before, UpTo: to, Limit: s.pace.events}, whole); err != nil {
			return nil, err
		}
	}
	p.last.to = to
	return p.last, nil
}

// read adds the rows of some events to a page, and calls split after each.
func (s *exportSession) read(ctx context.Context, d *analytics.Deriver, p *exportPage, q db.ReadQuery, split func()) error {
	var rows []analytics.Row
	err := s.store.Each(ctx, q, func(e *stream.Event) (err error) {
		if rows, err = d.Append(ctx, rows[:0], e); err != nil {
			return err
		}
		b := p.last
		for _, r := range rows {
			s.add(b, e.Position, r)
		}
		b.to = e.Position
		b.last = e.Time
		b.events++
		b.bytes += len(e.Data)
		p.events++
		p.bytes += len(e.Data)
		split()
		return nil
	})
	if err != nil {
		return fmt.Errorf("read events to export: %w", err)
	}
	return nil
}

func (s *exportSession) add(b *exportBatch, position int64, r analytics.Row) {
	at := s.places[r.Table]
	err := b.tables[at].add(s.writers[at].encoder, position, r.Values)
	if err != nil {
		s.metrics.rejected.WithLabelValues(r.Table.Name).Inc()
		s.reject(b, position, r, err.Error())
	}
}

// reject adds a row of rejected for one that cannot be in its table.
func (s *exportSession) reject(b *exportBatch, position int64, r analytics.Row, why string) {
	r = r.Rejected(why)
	at := s.places[r.Table]
	if err := b.tables[at].add(s.writers[at].encoder, position, r.Values); err != nil { // its texts are cut, and were read
		s.log.Error("a row can be written neither to its table nor to rejected: it is left out", "position", position, "error", err)
	}
}
