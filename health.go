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
}

func newHealth(s *Server) *health {
	return &health{s: s, scrape: promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})}
}

func (h *health) alive(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, map[string]string{"status": "ok"})
}

// drain makes the server not ready, so that no new traffic is sent to it.
func (h *health) drain() { h.draining.Store(true) }

// readiness is what /-/readyz answers.
type readiness struct {
	Status   string            `json:"status"`
	Details  map[string]string `json:"details,omitempty"`
	Folding  *bool             `json:"folding,omitempty"`
	LagsBack *int64            `json:"cursor_lag_events,omitempty"`
}

// ready says whether the server can take deliveries: whether its database
// can. Without Redis it can; builds and notices wait then.
func (h *health) ready(may access) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		databaseErr := h.s.db.Ping(ctx)
		if may.details(r) {
			answer := readiness{Status: "ready", Details: map[string]string{
				"database": inWords(databaseErr), "redis": inWords(h.s.redis.Ping(ctx).Err()),
			}}
			if databaseErr != nil || h.draining.Load() {
				answer.Status = "not ready"
			}
			if h.draining.Load() {
				answer.Details["server"] = "draining"
			}
			w.Header().Set("Content-Type", "application/json")
			if answer.Status != "ready" {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			return writeJSON(w, answer)
		}
		if databaseErr != nil || h.draining.Load() {
			return unavailable("The server cannot take deliveries now.", databaseErr)
		}
		return writeJSON(w, readiness{Status: "ready"})
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

// measure leaves a gauge as it is when its query fails: the failure shows in
// the readiness.
func (h *health) measure(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	head, err := h.s.db.Head(ctx)
	if err != nil {
		return
	}
	if cursor, err := h.s.db.Cursor(ctx, trackerCursor); err == nil {
		h.s.metrics.lag.Set(float64(max(0, head-cursor)))
	}
	if n, err := h.s.db.CountDue(ctx); err == nil {
		h.s.metrics.noticesDue.Set(float64(n))
	}
	if n, err := h.s.db.CountSetAside(ctx); err == nil {
		h.s.metrics.eventsSetBack.Set(float64(n))
	}
}
