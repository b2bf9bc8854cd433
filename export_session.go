package buildtracker

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/build-tracker/build-tracker/analytics"
	"github.com/build-tracker/build-tracker/db"
)

// exportState is what is kept beside the cursor.
type exportState struct {
	// Tables are by name; one is there as soon as it has rows.
	Tables map[string]tablePosition `json:"tables"`
	// Plan is the batch that was begun; nil for none.
	Plan *exportPlan `json:"plan,omitempty"`
}

// tablePosition is where the next rows of a table go.
type tablePosition struct {
	Stream string `json:"stream"`
	// Offset is that of the first row of the plan. Below 0, so many rows of the plan
	// are in the table by another stream.
	Offset int64 `json:"offset"`
}

// exportPlan is a batch that was begun. Whoever finishes it needs to know all
// that the offsets of its rows depend on.
type exportPlan struct {
	To int64 `json:"to"`
	// Sums are of the rows, by table.
	Sums map[string]string `json:"sums"`
	// Rejected are the rows that BigQuery refused, by table and place, and why.
	Rejected map[string]map[int]string `json:"rejected,omitempty"`
	// Single are tables whose rows are appended one by one.
	Single map[string]bool `json:"single,omitempty"`
}

// exportSession is the work of an exporter from taking the cursor over until
// something fails.
type exportSession struct {
	*exporter
	at         int64 // the cursor
	generation string
	writers    []*tableWriter
	places     map[*analytics.Table]int // in writers
	written    chan *exportBatch        // their room may be used again

	mu    sync.Mutex // guards state, which the tables of a batch change
	state exportState
}

// open makes the writers and reads the state that was kept.
func (s *exportSession) open(state string) error {
	s.state.Tables = make(map[string]tablePosition)
	if state != "" {
		if err := json.Unmarshal([]byte(state), &s.state); err != nil {
			return fmt.Errorf("the state of the export cannot be read, it was written by another version: %w", err)
		}
	}
	if s.to.duplicates {
		s.state = exportState{Tables: make(map[string]tablePosition)}
	}
	if plan := s.state.Plan; plan != nil && plan.To <= s.at {
		// Default streams were written since. Where those that the plan wrote to end
		// is not known.
		for table := range plan.Sums {
			delete(s.state.Tables, table)
		}
		s.state.Plan = nil
	}
	s.places = make(map[*analytics.Table]int)
	for i, t := range analytics.Tables() {
		encoder, err := newRowEncoder(t)
		if err != nil {
			return err
		}
		s.places[t] = i
		s.writers = append(s.writers, &tableWriter{to: s.to, table: t, encoder: encoder})
	}
	return nil
}

func (s *exportSession) close() {
	for _, w := range s.writers {
		w.close()
	}
}

// newBatch returns a batch without rows, with the room of one that was written
// where there is one.
func (s *exportSession) newBatch(after int64) *exportBatch {
	b := &exportBatch{to: after}
	select {
	case used := <-s.written:
		b.tables = used.tables
		for _, rows := range b.tables {
			rows.clear()
		}
		return b
	default:
	}
	b.tables = make([]*exportRows, len(s.writers))
	for i := range b.tables {
		b.tables[i] = new(exportRows)
	}
	return b
}

// write appends the rows of batches and moves the cursor past each, until there
// are no more.
func (s *exportSession) write(ctx context.Context, batches <-chan *exportBatch, progress func(*exportBatch)) error {
	var next *exportBatch
	for {
		b := next
		if b == nil {
			select {
			case b = <-batches:
			case <-ctx.Done():
				return nil
			}
			if b == nil {
				return nil
			}
			if err := s.begin(ctx, b); err != nil {
				return err
			}
		}
		began := time.Now()
		if err := s.append(ctx, b); err != nil {
			return err
		}
		select { // planned with the same commit, if it is there
		case next = <-batches:
		default:
			next = nil
		}
		if err := s.finish(ctx, b, next); err != nil {
			return err
		}
		s.metrics.exported(b, began)
		progress(b)
		s.recycle(b)
	}
}

// recycle keeps the room of a batch that was written.
func (s *exportSession) recycle(b *exportBatch) {
	if slices.ContainsFunc(b.tables, func(r *exportRows) bool { return r.late }) {
		return
	}
	select {
	case s.written <- b:
	default:
	}
}

// begin has the database know of a batch, unless it does.
func (s *exportSession) begin(ctx context.Context, b *exportBatch) error {
	if s.to.duplicates {
		s.state.Plan = &exportPlan{To: b.to}
		return nil
	}
	if s.state.Plan != nil {
		return s.resume(ctx, b)
	}
	if err := s.plan(ctx, b); err != nil {
		return err
	}
	return s.save(ctx)
}

// plan says where the rows of a batch go, and makes the streams that are missing.
func (s *exportSession) plan(ctx context.Context, b *exportBatch) error {
	plan := &exportPlan{To: b.to, Sums: make(map[string]string)}
	for i, w := range s.writers {
		rows := b.tables[i]
		if len(rows.encoded) == 0 {
			continue
		}
		plan.Sums[w.table.Name] = rows.sum()
		if s.state.Tables[w.table.Name].Stream != "" {
			continue
		}
		stream, err := w.createStream(ctx)
		if err != nil {
			return err
		}
		s.state.Tables[w.table.Name] = tablePosition{Stream: stream}
	}
	s.state.Plan = plan
	return nil
}

// castagnoli is the polynomial that processors know.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sum says which rows these are, not what is in them: another version may make others
// of the same events.
func (r *exportRows) sum() string {
	sum := uint32(0)
	var place []byte
	for _, origin := range r.origins {
		place = binary.AppendVarint(place[:0], origin.position)
		place = binary.AppendUvarint(place, uint64(origin.nth))
		sum = crc32.Update(sum, castagnoli, place)
	}
	return fmt.Sprintf("%d/%08x", len(r.origins), sum)
}

// resume goes on with a batch that was begun. Whoever began it may still have
// requests on their way, so that its streams end: that lets no more rows in, and
// tells how many they took.
func (s *exportSession) resume(ctx context.Context, b *exportBatch) error {
	plan := s.state.Plan
	for i, w := range s.writers {
		sum := b.tables[i].sum()
		if len(b.tables[i].encoded) == 0 && plan.Sums[w.table.Name] == "" {
			continue
		}
		if plan.Sums[w.table.Name] != sum {
			s.log.Warn("a batch that was begun has other rows now: those that its table lacks are added", "table", w.table.Name, "to", b.to)
			plan.Sums[w.table.Name] = sum
			delete(plan.Rejected, w.table.Name) // other rows are at their places
		}
		err := s.moveOn(ctx, w)
		if err != nil && remedyFor(err) == newStream {
			err = s.replace(ctx, w, 0)
		}
		if err != nil {
			return err
		}
	}
	return s.save(ctx)
}

// moveOn ends a table's stream, and has the rows that it lacks go to another.
func (s *exportSession) moveOn(ctx context.Context, w *tableWriter) error {
	at := s.position(w.table)
	var taken int64
	if at.Stream != "" {
		has, err := w.finalize(ctx, at.Stream)
		if err != nil {
			return err
		}
		taken = has - at.Offset
		if taken < 0 && at.Offset > 0 {
			s.log.Error("BigQuery lost rows that it had confirmed", "table", w.table.Name, "rows", -taken, "stream", at.Stream)
			s.metrics.lost.WithLabelValues(w.table.Name).Add(float64(-taken))
		}
		taken = max(taken, 0)
	}
	stream, err := w.createStream(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Tables[w.table.Name] = tablePosition{Stream: stream, Offset: -taken}
	return nil
}

func (s *exportSession) position(t *analytics.Table) tablePosition {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Tables[t.Name]
}

// save keeps the state, the cursor stays.
func (s *exportSession) save(ctx context.Context) error { return s.commit(ctx, s.at) }

func (s *exportSession) commit(ctx context.Context, to int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	batch := db.Batch{Cursor: exportCursor, Generation: s.generation, From: s.at, To: to}
	if !s.to.duplicates {
		text, err := json.Marshal(s.state)
		if err != nil {
			return fmt.Errorf("keep the state of the export: %w", err)
		}
		batch.State = string(text)
	}
	if err := s.store.Commit(ctx, batch); err != nil {
		return fmt.Errorf("move the cursor of the export: %w", err)
	}
	if to != s.at { // only finish moves it, when no table is written
		s.at = to
	}
	return nil
}

// append writes all rows of a batch, however long it takes.
func (s *exportSession) append(ctx context.Context, b *exportBatch) error {
	last := len(s.writers) - 1 // rejected, which the others add to
	work, working := errgroup.WithContext(ctx)
	for i, w := range s.writers[:last] {
		if len(b.tables[i].encoded) > 0 {
			work.Go(func() error { return s.appendTable(working, w, b.tables[i]) })
		}
	}
	if err := work.Wait(); err != nil {
		return err
	}
	if err := s.addRejected(ctx, b); err != nil {
		return err
	}
	if len(b.tables[last].encoded) == 0 {
		return nil
	}
	if at := s.position(s.writers[last].table); !s.to.duplicates && at.Stream == "" {
		if err := s.moveOn(ctx, s.writers[last]); err != nil {
			return err
		}
		if err := s.save(ctx); err != nil {
			return err
		}
	}
	return s.appendTable(ctx, s.writers[last], b.tables[last])
}

// addRejected makes rows of rejected of those that BigQuery refused, in an order
// that does not depend on when it did.
func (s *exportSession) addRejected(ctx context.Context, b *exportBatch) error {
	for i, w := range s.writers[:len(s.writers)-1] {
		refused := s.refused(w.table)
		for _, place := range slices.Sorted(maps.Keys(refused)) {
			if place >= len(b.tables[i].origins) {
				continue // of other rows, which another version made
			}
			origin := b.tables[i].origins[place]
			row, err := s.derived(ctx, w.table, origin)
			if err != nil {
				return err
			}
			if row == nil {
				s.log.Error("a refused row cannot be kept in rejected: its event is not there any more", "table", w.table.Name, "position", origin.position)
				continue
			}
			s.reject(b, origin.position, *row, refused[place])
		}
	}
	return nil
}

// derived returns a row again, which nobody has kept; nil where its event is gone.
func (s *exportSession) derived(ctx context.Context, t *analytics.Table, origin rowOrigin) (*analytics.Row, error) {
	events, err := s.store.ReadAll(ctx, db.ReadQuery{After: origin.position - 1, UpTo: origin.position, Limit: 1})
	if err != nil || len(events) == 0 {
		return nil, err
	}
	rows, err := analytics.NewDeriver(s.store).Append(ctx, nil, &events[0])
	if err != nil {
		return nil, err
	}
	rows = slices.DeleteFunc(rows, func(r analytics.Row) bool { return r.Table != t })
	if origin.nth >= len(rows) {
		return nil, nil
	}
	return &rows[origin.nth], nil
}

// finish moves the cursor past a batch, and plans the next one if there is one.
func (s *exportSession) finish(ctx context.Context, b, next *exportBatch) error {
	for i, w := range s.writers {
		n := len(b.tables[i].encoded) - len(s.refused(w.table))
		if at, ok := s.state.Tables[w.table.Name]; ok {
			at.Offset += int64(n)
			s.state.Tables[w.table.Name] = at
		}
	}
	s.state.Plan = nil
	switch {
	case next == nil:
	case s.to.duplicates:
		s.state.Plan = &exportPlan{To: next.to}
	default:
		if err := s.plan(ctx, next); err != nil {
			return err
		}
	}
	return s.commit(ctx, b.to)
}

func (s *exportSession) refused(t *analytics.Table) map[int]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Plan == nil {
		return nil
	}
	return s.state.Plan.Rejected[t.Name]
}
