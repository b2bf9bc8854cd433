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

const (
	rebuildAtOnce = 100
	// A rebuild on request begins within this time or not at all.
	rebuildWait = 2 * leaseTTL
)

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
	if s.db, err = openStore(ctx, cfg, s.log); err != nil {
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

// rebuild recomputes all builds, a few at a time. Between them it folds what
// came in.
func (t *Tracker) rebuild(ctx context.Context, r *rebuildRequest) error {
	total, err := t.db.CountBuilds(ctx)
	if err != nil {
		return fmt.Errorf("count builds: %w", err)
	}
	if err := t.sync(ctx); err != nil {
		return err
	}
	if err := t.begin(ctx, t.mark.Position); err != nil {
		return err
	}
	t.held.clear()
	var done int64
	for after := ""; ; {
		if err := cmp.Or(context.Cause(r.ctx), context.Cause(ctx)); err != nil {
			return fmt.Errorf("the rebuild was interrupted after %d of %d builds, run it again: %w", done, total, err)
		}
		ids, err := t.db.BuildIDs(ctx, after, rebuildAtOnce)
		if err != nil {
			return fmt.Errorf("list builds: %w", err)
		}
		if len(ids) == 0 {
			break
		}
		if err := t.rebuildSome(ctx, ids); err != nil {
			return err
		}
		after = ids[len(ids)-1]
		done += int64(len(ids))
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

// rebuildSome recomputes some builds as of the cursor, and what others have
// of them.
func (t *Tracker) rebuildSome(ctx context.Context, ids []string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), batchTimeout)
	defer cancel()
	b := newBatch(t, t.mark.Position)
	var whole []string
	err := b.guard(func() error {
		if err := b.load(ctx, ids); err != nil {
			return err
		}
		for _, id := range ids {
			ok, err := b.refold(ctx, id)
			if err != nil {
				return err
			}
			if ok {
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
	for _, id := range whole {
		if err := t.db.ClearSetAside(ctx, id); err != nil {
			return fmt.Errorf("clear what was set aside: %w", err)
		}
	}
	return nil
}

// refold computes a build from its events, and says whether all of them could
// be processed. A build whose first events retention has dropped starts from
// its row.
func (b *batch) refold(ctx context.Context, id string) (bool, error) {
	c := b.builds[id]
	old := c.b
	var fresh *build.Build
	whole := true
	for from := int64(0); ; {
		events, err := b.t.db.ReadBuild(ctx, id, from, eventsAtOnce)
		if err != nil {
			return false, fmt.Errorf("read events of build %s: %w", id, err)
		}
		if len(events) == 0 {
			break
		}
		for i := range events {
			e := &events[i]
			if e.Position > b.to {
				break
			}
			if fresh == nil {
				fresh = b.blank(e, old)
			}
			d := b.t.decode(e)
			if err := b.guard(func() error { return foldEvent(fresh, &d) }); err != nil {
				whole = false
			}
		}
		from = events[len(events)-1].Seq + 1
	}
	if fresh == nil {
		if old == nil {
			return false, nil // nothing of it was folded yet
		}
		fresh = old
	}
	if old != nil {
		fresh.Rev = max(fresh.Rev, old.Rev)
		fresh.Streak = old.Streak
	}
	fresh.Children = nil // they lend again, all of them
	c.b, c.isNew, c.own = fresh, true, true
	return whole, nil
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
