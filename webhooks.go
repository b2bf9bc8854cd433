package buildtracker

import (
	"cmp"
	"context"
	"sync"

	"github.com/build-tracker/build-tracker/buildkite"
)

// webhooks is what a server knows of the webhook's other end, and does about what
// does not arrive.
type webhooks struct {
	rest      *buildkite.REST       // nil without a token
	schedule  *schedule             // nil without a token
	backfills chan *backfillRequest // nil without a token
	refusals  *refusals
	arrivals  *arrivals
	sources   *sources // nil takes deliveries from anywhere
}

// openWebhooks makes all of it. Without a token it keeps only when deliveries were
// refused, and how late they come.
func (s *Server) openWebhooks(version string) (err error) {
	s.refusals = openRefusals(s.cfg.DataDir, s.log)
	s.metrics.describeRefusals(s.refusals)
	s.arrivals = &arrivals{metrics: &s.metrics.reconcile}
	if s.cfg.BuildkiteAPI.Token != "" {
		if s.rest, err = s.openREST(version); err != nil {
			return err
		}
		s.backfills = make(chan *backfillRequest)
		s.schedule = &schedule{
			reconciler: s.reconciler(s.reload.live.Load, s.delivered), duty: newDuty("reconcile", s.redis, s.log),
			interval: cmp.Or(s.cfg.Reconcile.Interval, defaultInterval), organizations: s.cfg.Reconcile.Organizations, known: s.db.Organizations,
			refusals: s.refusals, log: s.log,
		}
	}
	s.sources = newSources(s.cfg, s.rest.WebhookSources, s.log)
	return nil
}

// watchWebhooks looks after them until ctx ends.
func (s *Server) watchWebhooks(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() { s.health.watchLosses(ctx) })
	if s.schedule != nil {
		work.Go(func() { s.schedule.run(ctx) })
		work.Go(func() { s.serveBackfills(ctx) })
	}
	if s.sources != nil && s.sources.auto {
		work.Go(func() { s.sources.run(ctx) })
	}
}
