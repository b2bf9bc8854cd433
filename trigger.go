package buildtracker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/buildkite"
	"github.com/build-tracker/build-tracker/config"
	"github.com/build-tracker/build-tracker/db"
)

const (
	triggerKind = "trigger_metrics_pipeline"
	// triggersAtOnce hides the time that Buildkite takes for an answer; its limit of
	// requests a minute is reached before.
	triggersAtOnce = 4
	// triggeredFrom is the meta-data by which a build that was created is found again.
	triggeredFrom = "triggered_from_build_id"
)

// triggerReactor wants the metrics pipeline to be triggered for a build that
// finished, however long ago. Asked again for the same build it wants the same job, of
// which there is one. What a build of the metrics pipeline triggered in several steps
// it does not see: whoever does the job looks.
func triggerReactor(to config.MetricsPipeline) Reactor {
	return func(t Touched) Effects {
		b := t.Build
		switch {
		case t.StreakOnly, !b.Finished(), b.Status() == build.Canceled:
			return Effects{}
		case isPipeline(to, b.Organization, b.Pipeline), isPipeline(to, b.Organization, b.Parent.Pipeline):
			return Effects{}
		case t.Parent != nil && isPipeline(to, b.Organization, t.Parent.Parent.Pipeline):
			return Effects{}
		}
		return Effects{Jobs: []db.Job{{Kind: triggerKind, Key: b.ID}}}
	}
}

// isPipeline compares slugs, which somebody may have written in capitals.
func isPipeline(to config.MetricsPipeline, organization, pipeline string) bool {
	return strings.EqualFold(organization, to.Organization) && strings.EqualFold(pipeline, to.Pipeline)
}

// trigger creates a build of the metrics pipeline after each finished one.
type trigger struct {
	to      config.MetricsPipeline
	store   triggerStore
	builds  triggerBuilds
	metrics *jobMetrics
	log     *slog.Logger
	// poll and retryAfter are db.WorkOptions'.
	poll       time.Duration
	retryAfter func(attempt int) time.Duration
}

type triggerStore interface {
	Builds(ctx context.Context, ids []string) ([]db.Row, error)
	Work(ctx context.Context, o db.WorkOptions) error
	CountJobs(ctx context.Context) (int64, error)
}

// triggerBuilds is Buildkite, as buildkite.Creator has it.
type triggerBuilds interface {
	Create(ctx context.Context, b buildkite.NewBuild) (number int64, err error)
	Find(ctx context.Context, organization, pipeline string, metaData map[string]string) (number int64, err error)
	Origin(ctx context.Context, organization, pipeline string, number int64) (build.Origin, error)
}

// openTrigger makes what triggers the metrics pipeline, if there is one.
func (s *Server) openTrigger(version string) error {
	if !s.cfg.MetricsPipeline.On() {
		return nil
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	s.closers = append(s.closers, func() error { transport.CloseIdleConnections(); return nil })
	creator, err := buildkite.NewCreator(buildkite.RESTOptions{
		Token: s.cfg.BuildkiteAPI.Token.Value(), URL: s.cfg.BuildkiteAPI.URL, UserAgent: "build-tracker/" + version,
		Transport: transport,
	})
	if err != nil {
		return err
	}
	s.trigger = &trigger{to: s.cfg.MetricsPipeline, store: s.db, builds: creator, metrics: &s.metrics.jobs, log: s.log}
	return nil
}

// run works until ctx ends, and returns when no attempt is under way.
func (t *trigger) run(ctx context.Context) {
	var counting sync.WaitGroup
	counting.Go(func() { t.count(ctx) })
	defer counting.Wait()
	o := db.WorkOptions{
		Kind: triggerKind, Do: t.attempt, AtOnce: triggersAtOnce,
		Poll: t.poll, RetryAfter: t.retryAfter, Logger: t.log,
	}
	for failures := 1; ; failures++ {
		err := t.store.Work(ctx, o)
		if ctx.Err() != nil {
			return
		}
		t.log.WarnContext(ctx, "the metrics pipeline is not triggered now; it is tried again soon", "error", err)
		if !sleep(ctx, jitter(backoff(failures, time.Second, time.Minute))) {
			return
		}
	}
}

// count keeps the gauge of the jobs that wait.
func (t *trigger) count(ctx context.Context) {
	for {
		if n, err := t.store.CountJobs(ctx); err == nil {
			t.metrics.waiting.Set(float64(n))
		}
		if !sleep(ctx, 5*time.Second) {
			return
		}
	}
}

// attempt triggers the metrics pipeline for one build.
func (t *trigger) attempt(ctx context.Context, a db.Attempt) error {
	log := t.log.With("build", a.Key, "attempt", a.Number)
	result, number, err := t.try(ctx, a)
	t.metrics.triggers.WithLabelValues(result).Inc()
	if err == nil {
		log.InfoContext(ctx, "metrics pipeline", "result", result, "number", number)
		return nil
	}
	switch {
	case a.Last:
		t.metrics.triggers.WithLabelValues(triggerGiveUp).Inc()
		log.ErrorContext(ctx, "the metrics pipeline was not triggered after a build, and this is not tried again: put right what the error says, and create the build by hand", "error", err)
	case result == triggerRefuse:
		log.ErrorContext(ctx, "Buildkite refuses to trigger the metrics pipeline: put right what the error says; it is tried again ever more slowly", "error", err)
	default:
		log.WarnContext(ctx, "the metrics pipeline could not be triggered; it is tried again", "error", err)
	}
	return err
}

// try returns how an attempt ended, and the number of the build that there is now.
func (t *trigger) try(ctx context.Context, a db.Attempt) (result string, number int64, err error) {
	b, err := t.load(ctx, a.Key)
	if err != nil {
		return triggerFailed, 0, err
	}
	if b == nil {
		return triggerGone, 0, nil
	}
	if own, err := t.descends(ctx, b); own || err != nil {
		return resultOfTrigger(triggerOwn, err), 0, err
	}
	metaData := map[string]string{triggeredFrom: b.ID}
	if a.Number > 1 { // an attempt before may have done it, and not have heard so
		number, err := t.builds.Find(ctx, t.to.Organization, t.to.Pipeline, metaData)
		if number != 0 || err != nil {
			return resultOfTrigger(triggerFound, err), number, err
		}
	}
	number, err = t.builds.Create(ctx, buildkite.NewBuild{
		Organization: t.to.Organization, Pipeline: t.to.Pipeline, Branch: t.to.Branch, Commit: t.to.Commit,
		Message: fmt.Sprintf("%s #%d: %s", b.Pipeline, b.Number, b.Status()), Env: triggerEnv(t.to.EnvPrefix, b), MetaData: metaData,
	})
	return resultOfTrigger(triggered, err), number, err
}

// resultOfTrigger returns what was done, unless there is an error.
func resultOfTrigger(done string, err error) string {
	refused := new(buildkite.RESTError)
	switch {
	case err == nil:
		return done
	case errors.As(err, &refused) && refused.Status < http.StatusInternalServerError && refused.Status != http.StatusTooManyRequests:
		return triggerRefuse
	}
	return triggerFailed
}

// load returns nil for a build without a row.
func (t *trigger) load(ctx context.Context, id string) (*build.Build, error) {
	rows, err := t.store.Builds(ctx, []string{id})
	if err != nil {
		return nil, fmt.Errorf("read build %s: %w", id, err)
	}
	if len(rows) == 0 {
		return nil, nil
	}
	b, err := build.Decode(rows[0].Snapshot)
	if err != nil {
		return nil, fmt.Errorf("read build %s, run build-tracker rebuild: %w", id, err)
	}
	return b, nil
}

// descends says whether a build of the metrics pipeline triggered this one, in
// however many steps: to trigger it for its own descendants would have no end. A
// build on the way that webhooks did not tell of is asked for. A chain that is too
// long to follow counts as one.
func (t *trigger) descends(ctx context.Context, b *build.Build) (bool, error) {
	from := b.Parent
	for range maxNesting {
		switch {
		case from.BuildID == "":
			return false, nil
		case isPipeline(t.to, b.Organization, from.Pipeline):
			return true, nil
		}
		parent, err := t.load(ctx, from.BuildID)
		if err != nil {
			return false, err
		}
		if parent != nil {
			from = parent.Parent
			continue
		}
		if from.Pipeline == "" || from.Number == 0 { // nobody can tell
			return false, nil
		}
		if from, err = t.builds.Origin(ctx, b.Organization, from.Pipeline, from.Number); err != nil {
			return false, err
		}
	}
	return true, nil
}

// triggerEnv tells of a build in environment variables. A page that cannot be told
// from the repository's address is empty.
func triggerEnv(prefix string, b *build.Build) map[string]string {
	pages := build.PagesOf(b.Repository.V)
	env := map[string]string{
		prefix + "ID":            b.ID,
		prefix + "NUMBER":        fmt.Sprint(b.Number),
		prefix + "PIPELINE_SLUG": b.Pipeline,
		prefix + "COMMIT":        b.Commit.V,
		prefix + "COMMIT_URL":    pages.Commit(b.Commit.V),
		prefix + "BRANCH":        b.Branch.V,
		prefix + "BRANCH_URL":    pages.Branch(b.Branch.V),
	}
	if b.PullRequest.V != "" {
		env[prefix+"PR_NUMBER"] = b.PullRequest.V
		env[prefix+"PR_URL"] = pages.PullRequest(b.PullRequest.V)
		env[prefix+"BASE_BRANCH"] = b.BaseBranch.V
	}
	return env
}
