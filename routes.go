package buildtracker

import (
	"fmt"
	"net/http"

	"golang.org/x/sync/semaphore"

	"github.com/build-tracker/build-tracker/buildkite"
)

// routes makes the handlers of the two listeners, which are one unless
// ADMIN_ADDR is set.
func (s *Server) routes() error {
	verifier, err := buildkite.NewVerifier(s.cfg.WebhookTokens.Values(), nil)
	if err != nil {
		return fmt.Errorf("BUILDKITE_WEBHOOK_TOKEN: %w", err)
	}
	may := newAccess(s.cfg.APITokens.Values(), s.cfg.DebugPassword.Value(), s.cfg.Production)
	s.live = &live{follower: s.follow, metrics: &s.metrics.stream, log: s.log}
	a := &api{builds: s.db, stream: s.db, live: s.live, access: may}
	public := http.NewServeMux()
	public.Handle("POST /buildkite", &webhook{
		events: s.db, verifier: verifier, open: len(s.cfg.WebhookTokens) == 0,
		live: s.reload.live.Load, memory: semaphore.NewWeighted(maxInFlight), recorded: s.delivered,
		sources: s.sources, refusals: s.refusals, arrivals: s.arrivals, metrics: s.metrics, traces: s.traces, log: s.log,
	})
	reads := func(h handler) http.Handler { return s.handle(may.reader, h) }
	public.Handle("GET /api/builds", reads(a.list))
	public.Handle("GET /api/builds/{organization}/{pipeline}/{number}", reads(a.build))
	public.Handle("GET /api/builds/{organization}/{pipeline}/{number}/events", reads(a.buildEvents))
	public.Handle("GET /api/events", reads(a.events))
	public.Handle("GET /api/stats", reads((&statsRoute{store: s.db, live: s.reload.live.Load}).answer))
	public.Handle("GET /api/health/webhooks", reads(s.health.webhooks))

	private := public
	if s.cfg.AdminAddr != "" {
		private = http.NewServeMux()
		s.private = s.around(private)
	}
	anyone := func(*http.Request) *problem { return nil }
	private.Handle("GET /-/healthz", s.handle(anyone, s.health.alive))
	private.Handle("GET /-/readyz", s.handle(anyone, s.health.ready(may)))
	private.Handle("GET /metrics", s.handle(may.metrics, s.health.metrics))
	private.Handle("GET /-/debug/{number}", s.handle(may.debugger, a.debug))
	private.Handle("POST /-/rebuild", s.handle(may.reader, s.rebuild))
	private.Handle("POST /-/backfill", s.handle(may.reader, s.backfill))
	s.public = s.around(public)
	return nil
}
