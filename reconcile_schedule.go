package buildtracker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/buildkite"
)

const (
	// refusedMargin widens an interval of refusals: its times are our clock's, and
	// a webhook comes after what it tells.
	refusedMargin = 5 * time.Minute
	// retryAfter is when a look that failed is tried again, if not sooner.
	retryAfter = time.Minute
)

// schedule looks at every organization at intervals, and at once after deliveries
// were refused. Of all replicas one does at a time; each looks after what it
// refused itself.
type schedule struct {
	*reconciler
	duty          *duty
	known         func(context.Context) ([]string, error)
	interval      time.Duration
	organizations []string // none: those known, which builds are of
	refusals      *refusals
	log           *slog.Logger
}

// checked is how the latest looks at an organization went.
type checked struct {
	// Look is the one that is under way, or was the last.
	Look look `json:"look"`
	// At is when it was complete, by our clock; zero while it is not.
	At time.Time `json:"at,omitzero"`
	// LossAt is when the latest look was complete that found events missing, and Lost
	// how many these were, in how many of Of builds.
	LossAt time.Time `json:"loss_at,omitzero"`
	Lost   int64     `json:"lost,omitempty"`
	Of     int64     `json:"of,omitempty"`
}

func checkedName(organization string) string { return "schedule/" + organization }

// defaultInterval is for who embeds a server and does not say.
const defaultInterval = 10 * time.Minute

// run looks until ctx ends.
func (s *schedule) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.refusals.recovered:
			if !sleep(ctx, refusalsQuiet) {
				return
			}
			s.refusals.settle(time.Now())
		case <-timer.C:
		}
		err := s.duty.once(ctx, s.once)
		wait := s.interval
		if err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "webhooks that were lost cannot be looked for; it is tried again", "error", err)
			wait = min(wait, retryAfter)
		}
		timer.Reset(jitter(wait))
	}
}

// once looks at what was refused, and at each organization whose time it is. What
// fails for one organization does not keep the others.
func (s *schedule) once(ctx context.Context) error {
	organizations := s.organizations
	if len(organizations) == 0 {
		var err error
		if organizations, err = s.known(ctx); err != nil {
			return err
		}
	}
	if len(organizations) == 0 {
		return nil // no delivery was ever taken: nobody knows whom to ask for
	}
	var errs []error
	refused := s.refusals.ended()
	for _, i := range refused {
		for _, organization := range organizations {
			errs = append(errs, s.unlessGone(ctx, organization, s.lookAt(ctx, i, organization)))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if len(refused) > 0 {
		s.refusals.done(refused)
	}
	for _, organization := range organizations {
		errs = append(errs, s.unlessGone(ctx, organization, s.check(ctx, organization)))
	}
	err := errors.Join(errs...)
	if err == nil {
		s.metrics.succeeded.SetToCurrentTime()
	}
	return err
}

// unlessGone returns the error of a look, but not that Buildkite shows nothing of
// an organization that nobody named: it may be renamed, and its old builds are
// still here. What is refused for it must not wait for ever.
func (s *schedule) unlessGone(ctx context.Context, organization string, err error) error {
	refused := new(buildkite.RESTError)
	if len(s.organizations) > 0 || !errors.As(err, &refused) ||
		refused.Status != http.StatusNotFound && refused.Status != http.StatusForbidden {
		return err
	}
	s.log.WarnContext(ctx, "Buildkite shows no builds of an organization; RECONCILE_ORGANIZATIONS names those to look at",
		"organization", organization, "error", err)
	return nil
}

// lookAt looks at the builds that finished while deliveries were refused.
func (s *schedule) lookAt(ctx context.Context, refused interval, organization string) error {
	l := look{Organization: organization, Since: refused.From.Add(-refusedMargin), Until: refused.To.Add(refusedMargin)}
	err := s.reconciler.run(ctx, &l, func(int) error { return nil })
	if err == nil && l.Missing > 0 {
		s.log.InfoContext(ctx, "deliveries were refused; what they told of was fetched",
			"organization", organization, "from", refused.From, "to", refused.To, "builds", l.Builds, "events", l.Missing)
	}
	return err
}

// check looks at an organization if its time has come, from where the last look
// stopped.
func (s *schedule) check(ctx context.Context, organization string) error {
	var c checked
	if _, err := s.load(ctx, checkedName(organization), &c); err != nil {
		return err
	}
	now := time.Now()
	switch {
	case c.At.IsZero() && !c.Look.Began.IsZero(): // it was interrupted
	case now.Sub(c.At) < s.interval/2 && !now.Before(c.At):
		return nil // another replica did
	default:
		since := c.Look.Began
		if since.IsZero() {
			since = now
		}
		c.Look, c.At = look{Organization: organization, Since: since.Add(-overlap), Settled: true}, time.Time{}
	}
	if err := s.reconciler.run(ctx, &c.Look, func(int) error { return s.keep(ctx, checkedName(organization), &c) }); err != nil {
		return err
	}
	c.At = time.Now()
	if c.Look.Missing > 0 {
		c.LossAt, c.Lost, c.Of = c.At, c.Look.Missing, c.Look.Builds
		s.log.WarnContext(ctx, "webhooks were lost; what they told of was fetched",
			"organization", organization, "since", c.Look.Since, "builds", c.Look.Builds, "events", c.Look.Missing)
	}
	return s.keep(ctx, checkedName(organization), &c)
}

// once does the work when this process has the lease, and returns its error.
func (d *duty) once(ctx context.Context, work func(context.Context) error) error {
	for {
		err := d.lease.Take(ctx)
		switch {
		case err == nil:
			d.do(ctx, func(ctx context.Context) { err = work(ctx) })
			return err
		case !errors.Is(err, build.ErrLeaseTaken):
			return fmt.Errorf("redis does not answer, check REDIS_URL: %w", err)
		}
		if !sleep(ctx, jitter(leaseTTL/4)) {
			return context.Cause(ctx)
		}
	}
}
