package buildtracker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/build-tracker/build-tracker/analytics"
	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/stream"
)

// exportSource is where the events of an export come from: a store, or the server
// that has it.
type exportSource interface {
	analytics.Events
	// ReadAll is db.Store's.
	ReadAll(ctx context.Context, q db.ReadQuery) ([]stream.Event, error)
	// Dropped is db.Store's.
	Dropped(ctx context.Context) (int64, error)
	Close() error
}

// exportRange are the events of an export: those behind After, up to Last.
type exportRange struct {
	After int64 `json:"after"`
	Last  int64 `json:"last"`
}

// findRange returns which events were recorded from since on and before until; a
// zero until is the end of the stream as it is now. Times grow with positions, but
// for what the clocks of replicas differ by: it takes that for no difference.
func findRange(ctx context.Context, source exportSource, since, until time.Time) (exportRange, error) {
	f := rangeFinder{source: source}
	var r exportRange
	head, err := f.head(ctx)
	if err != nil {
		return r, err
	}
	recorded := func(from time.Time) func(*stream.Event) bool {
		return func(e *stream.Event) bool { return !e.Time.Before(from) }
	}
	if r.After, err = f.before(ctx, 0, head, recorded(since)); err != nil {
		return r, err
	}
	r.Last = head
	if !until.IsZero() {
		r.Last, err = f.before(ctx, r.After, head, recorded(until))
	}
	return r, err
}

// rangeFinder looks for positions.
type rangeFinder struct{ source exportSource }

// next returns the first event behind a position; nil for none.
func (f rangeFinder) next(ctx context.Context, after int64) (*stream.Event, error) {
	events, err := f.source.ReadAll(ctx, db.ReadQuery{After: after, Limit: 1})
	if err != nil {
		return nil, fmt.Errorf("look for the first event to export: %w", err)
	}
	if len(events) == 0 {
		return nil, nil
	}
	return &events[0], nil
}

// head returns the lowest position that no event is behind.
func (f rangeFinder) head(ctx context.Context) (int64, error) {
	low, high := int64(0), int64(1)
	for {
		e, err := f.next(ctx, high)
		if err != nil {
			return 0, err
		}
		if e == nil {
			break
		}
		low, high = e.Position, max(2*high, e.Position)
		if high > math.MaxInt64/4 {
			return 0, fmt.Errorf("position %d is none that a stream gets to", high)
		}
	}
	return f.before(ctx, low, high, func(*stream.Event) bool { return false })
}

// before returns the lowest position from low to high behind which there is no
// event, or one that is wanted. Nothing is behind high, or what is wanted.
func (f rangeFinder) before(ctx context.Context, low, high int64, wanted func(*stream.Event) bool) (int64, error) {
	for low < high {
		middle := low + (high-low)/2
		e, err := f.next(ctx, middle)
		if err != nil {
			return 0, err
		}
		if e == nil || e.Position > high || wanted(e) {
			high = middle
		} else {
			low = e.Position
		}
	}
	return low, nil
}

// openExportSource returns the store, or a server: one that was named, or that has
// the data folder.
func openExportSource(ctx context.Context, o ExportOptions) (exportSource, error) {
	if o.Server.Named {
		return newRemoteEvents(o.Server), nil
	}
	if url := o.Config.DatabaseURL.Value(); url != "" {
		return db.OpenPostgresReader(ctx, url)
	}
	store, err := openEmbedded(ctx, o.Config)
	if errors.Is(err, db.ErrLocked) {
		return newRemoteEvents(o.Server), nil
	}
	if err != nil {
		return nil, err
	}
	return store, nil
}
