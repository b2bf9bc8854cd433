package buildtracker

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// health answers the operator's routes and keeps the gauges that come from the
// database up to date.
type health struct {
	s        *Server
	draining atomic.Bool
	scrape   http.Handler
	oldest   oldest          // watch's
	away     map[string]bool // dependencies; watch's
}

func newHealth(s *Server) *health {
	return &health{s: s, away: make(map[string]bool), scrape: promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})}
}

func (h *health) alive(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, map[string]string{"status": "ok"})
}

// drain makes the server not ready, so that no new traffic is sent to it.
func (h *health) drain() { h.draining.Store(true) }

// readiness is what /-/readyz answers when the server is ready.
type readiness struct {
	Status  string            `json:"status"`
	Details map[string]string `json:"details,omitempty"`
}

// ready says whether the server can take deliveries: whether its database
// can. Without Redis it can; builds and notices wait then.
func (h *health) ready(may access) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		databaseErr := h.s.db.Ping(ctx)
		draining := h.draining.Load()
		var details map[string]string
		if may.details(r) {
			details = map[string]string{"database": inWords(databaseErr), "redis": inWords(h.s.redis.Ping(ctx).Err())}
			if draining {
				details["server"] = "draining"
			}
		}
		if databaseErr != nil || draining {
			p := unavailable("The server cannot take deliveries now.", databaseErr)
			p.Details, p.unlogged = details, true
			return p
		}
		return writeJSON(w, readiness{Status: "ready", Details: details})
	}
}

func inWords(err error) string {
	if err != nil {
		return "does not answer"
	}
	return "ok"
}

func (h *health) metrics(w http.ResponseWriter, r *http.Request) error {
	h.scrape.ServeHTTP(w, r)
	return nil
}

// metrics guards the metrics, which in production need a token.
func (a access) metrics(r *http.Request) *problem {
	if a.details(r) {
		return nil
	}
	return a.reader(r)
}

// watch keeps the gauges that come from the database.
func (h *health) watch(ctx context.Context) {
	for {
		h.measure(ctx)
		if !sleep(ctx, 2*time.Second) {
			return
		}
	}
}

// noticed logs that a dependency went away, or is there again.
func (h *health) noticed(dependency string, err error) {
	switch away := h.away[dependency]; {
	case err != nil && !away:
		h.s.log.Warn("a store does not answer", "store", dependency, "error", err)
	case err == nil && away:
		h.s.log.Info("a store answers again", "store", dependency)
	}
	h.away[dependency] = err != nil
}

// measure leaves a gauge as it is when its query fails: that shows in another
// one, and in the readiness.
func (h *health) measure(ctx context.Context) {
	m := h.s.metrics
	up := func(dependency string, ping func(context.Context) error) {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		value := 1.0
		err := ping(ctx)
		if err != nil {
			value = 0
		}
		h.noticed(dependency, err)
		m.up.WithLabelValues(dependency).Set(value)
	}
	up("redis", func(ctx context.Context) error { return h.s.redis.Ping(ctx).Err() })
	up("database", h.s.db.Ping)

	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	head, err := h.s.db.Head(ctx)
	if err != nil {
		return
	}
	if cursor, err := h.s.db.Cursor(ctx, trackerCursor); err == nil {
		m.lag.Set(float64(max(0, head-cursor.Position)))
	}
	if h.s.export != nil {
		if cursor, err := h.s.db.Cursor(ctx, exportCursor); err == nil {
			m.export.lag.Set(float64(max(0, head-cursor.Position)))
		}
	}
	if n, err := h.s.db.CountDue(ctx); err == nil {
		m.noticesDue.Set(float64(n))
	}
	if rev, err := h.s.db.OldestDue(ctx); err == nil {
		m.oldestDue.Set(h.oldest.age(ctx, h.s.db, rev).Seconds())
	}
	if n, err := h.s.db.CountSetAside(ctx); err == nil {
		m.eventsSetBack.Set(float64(n))
	}
}

// oldest is the oldest event whose notice is due.
type oldest struct {
	position int64
	at       time.Time
}

// age returns how long ago the event at a position was recorded, 0 for none. Of
// an event that is not there any more it is known since when it was asked for.
func (o *oldest) age(ctx context.Context, events eventReader, position int64) time.Duration {
	if position == 0 {
		return 0
	}
	if o.position != position {
		o.position, o.at = position, time.Now()
		if e := eventAt(ctx, events, position); e != nil {
			o.at = e.Time
		}
	}
	return max(0, time.Since(o.at))
}
