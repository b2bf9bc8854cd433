package buildtracker

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/build-tracker/build-tracker/buildkite"
	"github.com/build-tracker/build-tracker/config"
	"github.com/build-tracker/build-tracker/notify"
)

// ErrNoBuildkite says that nothing can be asked without a token.
var ErrNoBuildkite = errors.New("BUILDKITE_TOKEN is not set: set it to an API access token of Buildkite, with read_builds and read_pipelines")

// Backfilled is what a backfill did.
type Backfilled struct {
	Builds int64 `json:"builds"` // compared
	Events int64 `json:"events"` // missing, and appended
}

// Backfill appends what the stream lacks of the builds that finished in a time,
// and returns when it is folded. It works beside running servers. With the embedded
// store, db.ErrLocked says that a server has it: ask that one.
//
// The progress function, if not nil, hears of builds done and about how many there
// are. An interrupted backfill goes on where it stopped when it is asked for again.
func Backfill(ctx context.Context, cfg *config.Config, opts Options, what config.Backfill, progress func(done, total int64)) (done Backfilled, err error) {
	s := &Server{log: opts.logger(), cfg: cfg, metrics: newMetrics()}
	defer func() { err = errors.Join(err, s.Close()) }()
	if s.db, err = openStore(ctx, cfg, s.log); err != nil {
		return done, err
	}
	s.closers = append(s.closers, s.db.Close)
	if s.redis, err = s.openRedis(); err != nil {
		return done, err
	}
	if s.rest, err = s.openREST(opts.Version); err != nil {
		return done, err
	}
	// Where no server folds, this process does.
	t := newTracker(s.db, s.redis, trackerOptions{
		Logger: s.log, Metrics: s.metrics, BuildTTL: cfg.BuildTTL, MaxBuilds: s.maxBuilds(),
		Policy:    notify.Policy{Off: !cfg.Notices, MaxAge: cfg.NoticeMaxAge},
		Committed: func() {}, Appended: func(string) {}, MetricsPipeline: cfg.MetricsPipeline,
	})
	folding, stop := context.WithCancel(ctx)
	var tracking sync.WaitGroup
	tracking.Go(func() { t.Run(folding) })
	s.closers = append(s.closers, func() error { stop(); tracking.Wait(); return nil })
	r := s.reconciler(func() *config.Live { return &cfg.Live }, func(string) { t.Wake() })
	return r.backfill(ctx, what, progress)
}

// openREST makes the client of Buildkite's API; ErrNoBuildkite without a token.
func (s *Server) openREST(version string) (*buildkite.REST, error) {
	if s.cfg.BuildkiteAPI.Token == "" {
		return nil, ErrNoBuildkite
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	s.closers = append(s.closers, func() error { transport.CloseIdleConnections(); return nil })
	return buildkite.NewREST(buildkite.RESTOptions{
		Token: s.cfg.BuildkiteAPI.Token.Value(), URL: s.cfg.BuildkiteAPI.URL, UserAgent: "build-tracker/" + version,
		Transport: transport, Answered: s.metrics.reconcile.asked,
	})
}

func (s *Server) reconciler(live func() *config.Live, recorded func(buildID string)) *reconciler {
	return &reconciler{api: s.rest, db: s.db, live: live, recorded: recorded, metrics: &s.metrics.reconcile, log: s.log}
}

// backfill goes on with one that was interrupted, if that had all of it to do, and
// looks at what finished since that began.
func (r *reconciler) backfill(ctx context.Context, what config.Backfill, progress func(done, total int64)) (Backfilled, error) {
	name := "backfill/" + what.Organization + "/" + what.Pipeline
	// What finished until then was created before.
	whole := look{Organization: what.Organization, Pipeline: what.Pipeline, Since: what.Since, Until: what.Until, Before: what.Until}
	looks := []look{whole}
	var begun look
	if found, err := r.load(ctx, name, &begun); err != nil {
		return Backfilled{}, err
	} else if found && begun.covers(&whole) {
		r.log.InfoContext(ctx, "a backfill that was interrupted goes on", "since", begun.Since, "created_before", begun.Before)
		begun.Since = whole.Since
		whole.Since = later(whole.Since, begun.Began.Add(-overlap))
		looks = []look{begun, whole}
	}
	var done Backfilled
	for i := range looks {
		l := &looks[i]
		first := *l
		err := r.run(ctx, l, func(left int) error {
			if progress != nil {
				n := done.Builds + l.Builds - first.Builds
				progress(n, n+int64(left))
			}
			if i > 0 { // it is short, and begins anew
				return nil
			}
			return r.keep(ctx, name, l)
		})
		done.Builds += l.Builds - first.Builds
		done.Events += l.Missing - first.Missing
		if err != nil {
			return done, err
		}
	}
	if err := r.db.SetReconciliation(ctx, name, ""); err != nil {
		return done, err
	}
	return done, r.caughtUp(ctx)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// covers says whether the rest of l is the rest of a look that asks for the same.
func (l *look) covers(whole *look) bool {
	return !l.Began.IsZero() && !l.Since.After(whole.Since) && l.Until.Equal(whole.Until)
}

// backfillLine is one line of the answer to POST /-/backfill.
type backfillLine struct {
	Done     int64  `json:"done"`
	Total    int64  `json:"total"`
	Finished bool   `json:"finished,omitempty"`
	Error    string `json:"error,omitempty"`
	Backfilled
}

// backfillWait is how long a backfill on request waits for the one before.
const backfillWait = 2 * time.Second

// backfillRequest asks this process for a backfill.
type backfillRequest struct {
	ctx      context.Context // of whoever asks; when it ends, the backfill does
	what     config.Backfill
	progress func(done, total int64)
	done     chan backfillResult
}

type backfillResult struct {
	Backfilled
	err error
}

// serveBackfills does what is asked for, one at a time, until ctx ends.
func (s *Server) serveBackfills(ctx context.Context) {
	r := s.reconciler(s.reload.live.Load, s.delivered)
	for {
		select {
		case <-ctx.Done():
			return
		case ask := <-s.backfills:
			work, stop := context.WithCancel(ask.ctx)
			unbind := context.AfterFunc(ctx, stop)
			done, err := r.backfill(work, ask.what, ask.progress)
			unbind()
			stop()
			ask.done <- backfillResult{done, err}
		}
	}
}

// backfill answers the progress of a backfill as JSON lines. It ends when who
// asked for it goes.
func (s *Server) backfill(w http.ResponseWriter, r *http.Request) error {
	what, p := backfillOf(r)
	if p != nil {
		return p
	}
	if s.rest == nil {
		return fail(http.StatusConflict, "The server has no access to Buildkite's API. Start it with BUILDKITE_TOKEN.")
	}
	lines := make(chan backfillLine, 1)
	ask := &backfillRequest{ctx: r.Context(), what: what, done: make(chan backfillResult, 1), progress: func(done, total int64) {
		select { // a slow reader misses lines and holds nothing up
		case lines <- backfillLine{Done: done, Total: total}:
		default:
		}
	}}
	timer := time.NewTimer(backfillWait)
	defer timer.Stop()
	select {
	case s.backfills <- ask:
	case <-timer.C:
		return fail(http.StatusConflict, "The server is at another backfill, or about to stop. Ask again later.")
	case <-r.Context().Done():
		return unavailable("The request was given up.", r.Context().Err())
	}
	w.Header().Set("Content-Type", "application/jsonl")
	out := http.NewResponseController(w)
	_ = out.SetWriteDeadline(time.Time{}) // a writer without deadlines needs none lifted
	write := func(line backfillLine) {
		text, _ := json.Marshal(line) // plain fields marshal
		w.Write(append(text, '\n'))
		out.Flush()
	}
	for {
		select {
		case line := <-lines:
			write(line)
		case result := <-ask.done:
			n := result.Builds
			line := backfillLine{Done: n, Total: n, Finished: result.err == nil, Backfilled: result.Backfilled}
			if result.err != nil {
				s.log.WarnContext(r.Context(), "a backfill ended early", "error", result.err)
				line.Error = forPeople(result.err)
			}
			write(line)
			return nil
		}
	}
}

// forPeople is what an error tells who asked from elsewhere: Buildkite's refusals
// in full, and of ours that there is one.
func forPeople(err error) string {
	if refused := new(buildkite.RESTError); errors.As(err, &refused) {
		return "Buildkite cannot be asked: " + refused.Error()
	}
	return "The backfill ended early; the server's log says why. Run it again: it goes on where it stopped."
}

// backfillOf reads the request for one.
func backfillOf(r *http.Request) (config.Backfill, *problem) {
	q := r.URL.Query()
	what := config.Backfill{Organization: q.Get("org"), Pipeline: q.Get("pipeline")}
	if what.Organization == "" || strings.Contains(what.Organization+what.Pipeline, "/") {
		return what, fail(http.StatusBadRequest, "Name the organization as org, and if you like the pipeline as pipeline: slugs, such as org=acme&pipeline=web.")
	}
	var err error
	if what.Since, err = time.Parse(time.RFC3339, q.Get("since")); err != nil {
		return what, fail(http.StatusBadRequest, "Say as since from when on, such as 2026-01-05T00:00:00Z.")
	}
	if text := q.Get("until"); text != "" {
		if what.Until, err = time.Parse(time.RFC3339, text); err != nil {
			return what, fail(http.StatusBadRequest, "Write until as a time, such as 2026-01-05T00:00:00Z, or leave it out.")
		}
	}
	return what, nil
}
