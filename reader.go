package buildtracker

import (
	"context"
	"fmt"

	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/stream"
)

// read returns the next delivered events after a position, at most limit.
func (t *Tracker) read(ctx context.Context, after int64, limit int) ([]decoded, error) {
	events, err := t.decodeEach(func(do func(*stream.Event) error) error {
		return t.db.Each(ctx, db.ReadQuery{After: after, Limit: limit, Delivered: true}, do)
	})
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return events, nil
}

// readAhead is a read that runs while the batch before it is folded.
type readAhead struct {
	after  int64
	limit  int
	done   chan struct{} // closed when events and err are set
	cancel context.CancelFunc
	events []decoded
	err    error
}

// beginRead starts to read what comes after a position. Whoever has no use for it
// ends it.
func (t *Tracker) beginRead(ctx context.Context, after int64, limit int) *readAhead {
	ctx, cancel := context.WithCancel(ctx)
	r := &readAhead{after: after, limit: limit, done: make(chan struct{}), cancel: cancel}
	go func() {
		defer close(r.done)
		r.events, r.err = t.read(ctx, after, limit)
	}()
	return r
}

// end gives the read up. A nil one is none.
func (r *readAhead) end() {
	if r != nil {
		r.cancel()
		<-r.done
	}
}

// next returns the events after the mark, those that were read ahead where there
// are any, and whether there may be more.
func (t *Tracker) next(ctx context.Context, limit int) (events []decoded, more bool, err error) {
	ahead := t.ahead
	t.ahead = nil
	defer ahead.end()
	if ahead != nil && ahead.after == t.mark.Position {
		<-ahead.done
		if ahead.err == nil && len(ahead.events) <= limit {
			return ahead.events, len(ahead.events) == ahead.limit, nil
		}
	}
	events, err = t.read(ctx, t.mark.Position, limit)
	return events, len(events) == limit, err
}
