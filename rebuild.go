package buildtracker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/config"
	"github.com/build-tracker/build-tracker/notify"
	"github.com/build-tracker/build-tracker/stream"
)

// rebuildRequest asks the tracker that leads for a rebuild.
type rebuildRequest struct {
	ctx      context.Context // of whoever asks; when it ends, the rebuild does
	progress func(done, total int64)
	done     chan error
}

// rebuildWait is how long a rebuild on request may take to begin.
const rebuildWait = 2 * leaseTTL

// Rebuild recomputes every build from its events, in the database and in
// Redis. Nothing is appended and no notice is sent for it. Running servers hand
// the lease over for the time; events that come in meanwhile are folded here.
// With the embedded store, db.ErrLocked says that a server has it: ask that one.
//
// The progress function, if not nil, hears of builds done and how many there
// are. An interrupted rebuild has done no harm; a new one starts over.
func Rebuild(ctx context.Context, cfg *config.Config, opts Options, progress func(done, total int64)) (err error) {
	s := &Server{log: opts.logger(), cfg: cfg, metrics: newMetrics()}
	defer func() { err = errors.Join(err, s.Close()) }()
	if s.db, err = openRecorded(ctx, cfg, s.log); err != nil {
		return err
	}
	s.closers = append(s.closers, s.db.Close)
	if s.redis, err = s.openRedis(); err != nil {
		return err
	}
	t := newTracker(s.db, s.redis, trackerOptions{
		Logger: s.log, Metrics: s.metrics, BuildTTL: cfg.BuildTTL,
		Policy:    notify.Policy{Off: !cfg.Notices, MaxAge: cfg.NoticeMaxAge},
		Committed: func() {}, Appended: func(string) {}, MetricsPipeline: cfg.MetricsPipeline,
	})
	if err := t.takeOver(ctx); err != nil {
		return err
	}
	done := errors.New("the rebuild did not run")
	t.lead(ctx, func(ctx context.Context) {
		done = t.rebuild(ctx, &rebuildRequest{ctx: ctx, progress: progress})
	})
	return done
}

// takeOver asks for the lease until it has it.
func (t *Tracker) takeOver(ctx context.Context) error {
	for {
		if err := t.lease.Ask(ctx); err != nil {
			return fmt.Errorf("redis does not answer, check REDIS_URL: %w", err)
		}
		err := t.lease.Take(ctx)
		if err == nil {
			return t.lease.Unask(ctx)
		}
		if !errors.Is(err, build.ErrLeaseTaken) {
			return fmt.Errorf("redis does not answer, check REDIS_URL: %w", err)
		}
		if !sleep(ctx, 100*time.Millisecond) {
			return ctx.Err()
		}
	}
}

// serveRebuilds does what was asked for, if anything was.
func (t *Tracker) serveRebuilds(ctx context.Context) {
	select {
	case r := <-t.rebuilds:
		t.serveRebuild(ctx, r)
	default:
	}
}

func (t *Tracker) serveRebuild(ctx context.Context, r *rebuildRequest) {
	r.done <- t.rebuild(ctx, r)
}

// rebuild recomputes all builds, a round at a time. Between rounds it folds what
// came in.
func (t *Tracker) rebuild(ctx context.Context, r *rebuildRequest) (err error) {
	total, err := t.db.CountBuilds(ctx)
	if err != nil {
		return fmt.Errorf("count builds: %w", err)
	}
	cursor, err := t.db.Cursor(ctx, trackerCursor)
	if err != nil {
		return fmt.Errorf("read the tracker's cursor: %w", err)
	}
	if err := t.begin(ctx, cursor.Position); err != nil {
		return err
	}
	t.held.clear()
	defer func() {
		if counted := t.countAnew(ctx); err == nil {
			err = counted
		}
	}()
	rounds, end := t.readRounds(ctx, cursor.Position, roundSize{builds: 500, events: 10_000})
	defer end()
	var done int64
	for round := range rounds {
		if err := cmp.Or(context.Cause(r.ctx), context.Cause(ctx)); err != nil {
			return fmt.Errorf("the rebuild was interrupted after %d of %d builds, run it again: %w", done, total, err)
		}
		if err := cmp.Or(round.err, t.rebuildRound(ctx, round)); err != nil {
			return err
		}
		done += int64(len(round.ids))
		if r.progress != nil {
			r.progress(done, max(done, total))
		}
		// An event that cannot be processed is tried again after the next builds.
		if _, err := t.step(ctx); err != nil && !errors.As(err, new(*poisonError)) {
			return err
		}
	}
	return nil
}

// countAnew has the statistics counted anew: no event tells what a rebuild changed.
func (t *Tracker) countAnew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), batchTimeout)
	defer cancel()
	if err := t.db.StaleAll(ctx, statsCursor); err != nil {
		return fmt.Errorf("have the statistics counted anew: %w", err)
	}
	return nil
}

// rebuildRound recomputes the builds of a round as of the cursor, and what others
// have of them.
func (t *Tracker) rebuildRound(ctx context.Context, round *rebuildRound) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), batchTimeout)
	defer cancel()
	b := newBatch(t, t.mark.Position)
	var whole []string
	err := b.guard(func() error {
		if err := b.load(ctx, round.ids); err != nil {
			return err
		}
		if round.to < b.to { // events were folded meanwhile
			if err := t.readBuilds(ctx, round, b.to); err != nil {
				return err
			}
		}
		for _, id := range round.ids {
			if b.refold(id, round.events[id]) {
				whole = append(whole, id)
			}
		}
		if err := b.relate(ctx); err != nil {
			return err
		}
		return b.write(ctx, Effects{})
	})
	if err != nil {
		return err
	}
	if err := t.db.ClearSetAside(ctx, whole); err != nil {
		return fmt.Errorf("clear what was set aside: %w", err)
	}
	return nil
}

// refold computes a build from its events, and says whether all of them could
// be processed. A build whose first events retention has dropped starts from
// its row.
func (b *batch) refold(id string, events []decoded) bool {
	c := b.builds[id]
	fresh, whole := c.b, true
	for i := range events {
		e := &events[i]
		if i == 0 {
			fresh = b.blank(&e.Event, c.b)
		}
		if err := b.guard(func() error { return foldEvent(fresh, e) }); err != nil {
			whole = false
		}
	}
	if fresh == nil {
		return false // nothing of it was folded yet
	}
	if c.b != nil {
		fresh.Rev = max(fresh.Rev, c.b.Rev)
		fresh.Streak = c.b.Streak
	}
	fresh.Children = nil // they lend again, all of them
	c.b, c.isNew, c.own = fresh, true, true
	return whole
}

// blank returns what a build's events are folded into, e being the first.
func (b *batch) blank(e *stream.Event, old *build.Build) *build.Build {
	if e.Seq > 0 && old != nil {
		return old
	}
	return build.New(e.BuildID, e.Organization, e.Pipeline, e.Number)
}

// rebuildLine is one line of the answer to POST /-/rebuild.
type rebuildLine struct {
	Done     int64  `json:"done"`
	Total    int64  `json:"total"`
	Finished bool   `json:"finished,omitempty"`
	Error    string `json:"error,omitempty"`
}

// rebuild has this server's tracker rebuild, and answers its progress as JSON
// lines.
func (s *Server) rebuild(w http.ResponseWriter, r *http.Request) error {
	lines := make(chan rebuildLine, 1)
	ask := &rebuildRequest{ctx: r.Context(), done: make(chan error, 1), progress: func(done, total int64) {
		select { // a slow reader misses lines and holds nothing up
		case lines <- rebuildLine{Done: done, Total: total}:
		default:
		}
	}}
	timer := time.NewTimer(rebuildWait)
	defer timer.Stop()
	select {
	case s.tracker.rebuilds <- ask:
	case <-timer.C:
		return fail(http.StatusConflict, "This replica does not fold events now: another one does, or Redis does not answer. Run 'build-tracker rebuild' with DATABASE_URL and REDIS_URL instead.")
	case <-r.Context().Done():
		return unavailable("The server is stopping.", r.Context().Err())
	}

	w.Header().Set("Content-Type", "application/jsonl")
	out := http.NewResponseController(w)
	_ = out.SetWriteDeadline(time.Time{}) // a writer without deadlines needs none lifted
	write := func(line rebuildLine) {
		text, _ := json.Marshal(line) // plain fields marshal
		w.Write(append(text, '\n'))
		out.Flush()
	}
	var last rebuildLine
	for {
		select {
		case last = <-lines:
			write(last)
		case err := <-ask.done:
			if err != nil {
				s.log.Warn("rebuild ended early", "error", err)
				write(rebuildLine{Done: last.Done, Total: last.Total, Error: "The rebuild ended early; the server's log says why. Run it again."})
				return nil
			}
			total, err := s.db.CountBuilds(r.Context())
			if err != nil {
				total = last.Done
			}
			write(rebuildLine{Done: total, Total: total, Finished: true})
			return nil
		}
	}
}

// Migrate brings the database's schema up to date, as a starting server does.
func Migrate(ctx context.Context, cfg *config.Config, opts Options) error {
	store, err := openStore(ctx, cfg, opts.logger())
	if err != nil {
		return err
	}
	return store.Close()
}
