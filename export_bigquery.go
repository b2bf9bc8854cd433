package buildtracker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/build-tracker/build-tracker/analytics"
	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/stream"
)

// sessionTries is how many sessions in a row may end without a batch.
const sessionTries = 5

// bigQueryExport writes the rows of a range to BigQuery. The exporter's cursor and
// its state are kept in the folder: that of the server stays where it is.
type bigQueryExport struct {
	source   exportSource
	folder   *exportFolder
	ledger   *exportLedger
	to       *bigQuery
	pace     exportPace
	progress func(done, total int64)
	log      *slog.Logger
}

// run goes on behind the last batch that the ledger knows, to the end of the range.
func (x *bigQueryExport) run(ctx context.Context) (err error) {
	cursor := &rangeCursor{exportSource: x.source, folder: x.folder, ledger: x.ledger}
	defer func() { err = errors.Join(err, cursor.keepCounts()) }()
	writer := &exporter{
		store: cursor, to: x.to, pace: x.pace, metrics: &newMetrics().export, log: x.log, until: x.ledger.Last,
	}
	for failures := 0; !cursor.finished(); {
		err := writer.session(ctx, func(b *exportBatch) {
			failures = 0
			cursor.count(b)
			x.progress(b.to-x.ledger.After, x.ledger.Last-x.ledger.After)
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			continue
		}
		if failures++; failures == sessionTries {
			return err
		}
		x.log.Warn("the export to BigQuery waits", "error", err)
		sleep(ctx, jitter(backoff(failures, x.pace.retry, x.pace.most)))
	}
	return nil
}

// rangeCursor is what an exporter needs of a database, with the cursor in a file.
// There is no other exporter that it could be taken over by.
type rangeCursor struct {
	exportSource
	folder *exportFolder

	mu     sync.Mutex // guards ledger
	ledger *exportLedger
}

func (c *rangeCursor) finished() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ledger.finished()
}

// Each is db.Store's.
func (c *rangeCursor) Each(ctx context.Context, q db.ReadQuery, do func(*stream.Event) error) error {
	events, err := c.ReadAll(ctx, q)
	if err != nil {
		return err
	}
	for i := range events {
		if err := do(&events[i]); err != nil {
			return err
		}
	}
	return nil
}

// Cursor returns where the export stands.
func (c *rangeCursor) Cursor(context.Context, string) (db.Cursor, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return db.Cursor{Position: c.ledger.Position, State: c.ledger.State}, nil
}

// Begin has nothing to do: the folder is locked.
func (c *rangeCursor) Begin(context.Context, string, db.Cursor) error { return nil }

// Commit keeps the position and the state.
func (c *rangeCursor) Commit(_ context.Context, b db.Batch) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ledger.Position != b.From {
		return fmt.Errorf("%w: it is at %d, not at %d", db.ErrFenced, c.ledger.Position, b.From)
	}
	next := *c.ledger
	next.Position, next.State = b.To, b.State
	if err := c.folder.keep(&next); err != nil {
		return err
	}
	*c.ledger = next
	return nil
}

// count adds the rows of a batch that was committed. The sums are kept with the next
// commit: a crash loses one of them, and no row.
func (c *rangeCursor) count(b *exportBatch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, t := range analytics.Tables() {
		if n := len(b.tables[i].encoded); n > 0 {
			c.ledger.Rows[t.Name] += int64(n)
		}
	}
}

// keepCounts keeps what was counted since the last commit.
func (c *rangeCursor) keepCounts() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.folder.keep(c.ledger)
}
