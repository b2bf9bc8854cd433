package buildtracker

import (
	"context"
	"time"

	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/notify"
	"github.com/build-tracker/build-tracker/stream"
)

// eventTimeout bounds the search for the event that a notice is about, which
// must not keep the notice waiting.
const eventTimeout = time.Second

// trail leads from a notice back to the event that it is about: its trace goes
// on with the notice, and its time says how long the message took.
type trail struct {
	events  eventReader
	metrics *metrics
	traces  *tracing
}

type eventReader interface {
	ReadAll(ctx context.Context, q db.ReadQuery) ([]stream.Event, error)
}

// began is notify.Metrics.Began. Without traces the event is read only after its
// message was sent.
func (t trail) began(ctx context.Context, n notify.Notice) (context.Context, func(notify.Result)) {
	var about *stream.Event
	if t.traces != nil {
		about = eventAt(ctx, t.events, n.WantedRev)
		ctx = t.traces.notice(ctx, n, about)
	}
	return ctx, func(r notify.Result) {
		now := time.Now()
		noticed(ctx, r)
		t.metrics.notices.WithLabelValues(string(r)).Inc()
		if r != notify.Posted && r != notify.Updated {
			return
		}
		if about == nil {
			about = eventAt(ctx, t.events, n.WantedRev)
		}
		if about != nil {
			observe(t.metrics.noticeLatency, now.Sub(about.Time), sampled(ctx))
		}
	}
}

// eventAt returns the event at a position; nil when it is not there any more, or
// cannot be read in time.
func eventAt(ctx context.Context, events eventReader, position int64) *stream.Event {
	ctx, cancel := context.WithTimeout(ctx, eventTimeout)
	defer cancel()
	found, err := events.ReadAll(ctx, db.ReadQuery{After: position - 1, UpTo: position, Limit: 1})
	if err != nil || len(found) == 0 {
		return nil
	}
	return &found[0]
}
