package buildtracker

import (
	"context"
	"log/slog"
	"time"

	"github.com/build-tracker/build-tracker/config"
	"github.com/build-tracker/build-tracker/db"
)

const (
	// retentionDelay keeps the first run out of a start, and retentionInterval is
	// from one run to the next; both on average.
	retentionDelay    = time.Minute
	retentionInterval = time.Hour
	// retentionTimeout bounds a run. The next one goes on.
	retentionTimeout = 30 * time.Minute
)

// retention removes what is older than configured: events by team and day, builds
// and the keys of deliveries. Every replica tries; the store lets one.
type retention struct {
	store   retentionStore
	live    func() *config.Live
	metrics *metrics
	log     *slog.Logger
}

type retentionStore interface {
	Retain(ctx context.Context, q db.RetainQuery) (db.Retained, error)
}

// run works until ctx ends.
func (r *retention) run(ctx context.Context) {
	for wait := retentionDelay; sleep(ctx, jitter(wait)); wait = retentionInterval {
		r.once(ctx)
	}
}

func (r *retention) once(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, retentionTimeout)
	defer cancel()
	done, err := r.store.Retain(limited, retainQuery(r.live(), time.Now()))
	for _, d := range done.Days {
		r.dropped(ctx, d)
	}
	if done.Builds > 0 || done.Deliveries > 0 {
		r.log.InfoContext(ctx, "old builds and keys of deliveries were removed", "builds", done.Builds, "deliveries", done.Deliveries)
	}
	if err != nil && ctx.Err() == nil {
		r.log.WarnContext(ctx, "not all that is old could be removed; it is tried again within two hours", "error", err)
	}
}

func (r *retention) dropped(ctx context.Context, d db.DroppedDay) {
	r.metrics.eventsDropped.Add(float64(d.Events))
	r.metrics.eventsLost.Add(float64(d.Lost))
	log := r.log.With("team", d.Team, "day", d.Day.Format(time.DateOnly), "events", d.Events)
	switch {
	case d.Lost > 0:
		log.WarnContext(ctx, "events were dropped unread: at twice their retention they do not wait for a reader any more",
			"lost", d.Lost, "behind", d.Behind)
	case d.Events > 0:
		log.InfoContext(ctx, "old events were dropped")
	}
}

// retainQuery is what is configured now.
func retainQuery(live *config.Live, now time.Time) db.RetainQuery {
	q := db.RetainQuery{
		Now: now, Events: live.Retention.Events, Teams: make(map[string]time.Duration, len(live.Teams)),
		Builds: live.Retention.Builds, Deliveries: live.Retention.Deliveries,
	}
	for _, team := range live.Teams {
		q.Teams[team.Name] = live.EventRetention(team)
	}
	return q
}
