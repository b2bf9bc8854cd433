package buildtracker

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/stream"
)

// trackerCursor is the name of the tracker's cursor.
const trackerCursor = "tracker"

const (
	leaseTTL = 5 * time.Second
	// lookInterval is how often an idle tracker looks for events unasked: a hint may
	// be lost.
	lookInterval = time.Second
	batchTimeout = 20 * time.Second
	// batchInterval is the least time from one batch to the next, and busyInterval
	// after one of busyBatch events. Above floodRate events a second it grows, up to
	// floodInterval. Under load batches are larger for it, and cost the database less
	// for each event; the first event after a quiet time does not wait.
	batchInterval = 15 * time.Millisecond
	busyInterval  = 60 * time.Millisecond
	busyBatch     = 50
	floodInterval = 250 * time.Millisecond
	floodRate     = 4000
	// givesUpAfter is how long a tracker that cannot fold keeps the lease: another
	// replica may reach the database. Then it waits for givesWay.
	givesUpAfter = 10 * time.Second
	givesWay     = 2 * time.Second
	// syncInterval is how often an idle tracker compares the two stores.
	syncInterval = 5 * time.Second
	// batchEvents bounds a batch. The more events are folded at once, the fewer
	// times a build is written.
	batchEvents = 10_000
	// batchBuilds is how many builds a batch aims at: what it holds in memory is
	// theirs. The next batch has the more events, the fewer builds the latest had.
	batchBuilds = 1500
	firstBatch  = 4000
	// poisonTries is how often an event may fail before it is set aside.
	poisonTries = 8
	// heldSize bounds the builds kept in memory between batches: they and their
	// jobs, counted.
	heldSize = 16_000
)

// foldStore is what the tracker needs of the database.
type foldStore interface {
	Head(ctx context.Context) (int64, error)
	Cursor(ctx context.Context, name string) (db.Cursor, error)
	Begin(ctx context.Context, name string, c db.Cursor) error
	Each(ctx context.Context, q db.ReadQuery, do func(*stream.Event) error) error
	EachOfBuilds(ctx context.Context, builds []db.BuildQuery, do func(*stream.Event) error) error
	NextSeqs(ctx context.Context, buildIDs []string) (map[string]int64, error)
	Commit(ctx context.Context, b db.Batch) error
	Builds(ctx context.Context, ids []string) ([]db.Row, error)
	ChildIDs(ctx context.Context, parentIDs []string) (map[string][]string, error)
	Branch(ctx context.Context, branches []db.BranchQuery) ([][]db.Row, error)
	Recent(ctx context.Context, since time.Time, afterID string, limit int) ([]db.Row, error)
	BuildIDs(ctx context.Context, after string, limit int) ([]string, error)
	CountBuilds(ctx context.Context) (int64, error)
	StaleAll(ctx context.Context, cursor string) error
	ClearSetAside(ctx context.Context, buildIDs []string) error
}

// Tracker folds the stream's events into builds and has the reactors say what
// follows. Over all replicas one tracker at a time does, under a lease; a batch
// of events is one transaction.
//
// What it may assume rests on two compare-and-set steps, in this order: Redis
// moves its mark from the batch's start to its end, then the database moves the
// cursor likewise. Whatever goes wrong between or in them, the next batch
// starts by comparing the two, and if they differ gives up what Redis has: a new
// generation begins, in the database first, which refuses whatever is still on
// its way there.
type Tracker struct {
	db       foldStore
	state    *build.Store
	lease    *build.Lease
	reactors []Reactor
	log      *slog.Logger
	metrics  *metrics
	traces   *tracing
	ttl      time.Duration // of finished builds in Redis
	maxFill  int           // how many builds a fresh Redis is filled with
	// committed is called after a batch that wants notices, and appended for each
	// event of ours about a build.
	committed func()
	appended  func(buildID string)
	announcer *announcer // nil tells nobody
	// hear has Wake called at every delivery until stop is called.
	hear func() (stop func())

	wake     chan struct{}
	rebuilds chan *rebuildRequest

	// The rest belongs to the goroutine that leads.
	mark  build.Mark
	held  held       // builds as committed at mark
	ahead *readAhead // what comes after the latest batch; nil for none
	// gaveUp is how the latest leadership ended: nothing could be folded.
	gaveUp bool
	passed time.Time // when passOwn looked last
	alone  int64     // up to this position events are taken one at a time
	tries  int       // of the event at tried
	tried  int64
	// atOnce bounds the next batch; 0 is firstBatch. What may have been too much
	// for the time that a batch has is tried again with half of it.
	atOnce int
}

// Wake tells the tracker that there may be new events. It does not block.
func (t *Tracker) Wake() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Run folds whenever this process has the lease, until ctx ends. The batch
// under way is finished then, and the lease handed over.
func (t *Tracker) Run(ctx context.Context) {
	var quiet sometimes
	for ctx.Err() == nil {
		err := t.take(ctx)
		switch {
		case err == nil:
			t.lead(ctx, t.fold)
			if t.gaveUp {
				sleep(ctx, givesWay)
			}
			continue
		case errors.Is(err, build.ErrLeaseTaken):
		case ctx.Err() == nil:
			quiet.do(func() { t.log.Warn("Redis does not answer: builds and notices wait for it", "error", err) })
		}
		sleep(ctx, jitter(leaseTTL/8))
	}
}

// take takes the lease unless somebody else asks for it.
func (t *Tracker) take(ctx context.Context) error {
	asked, err := t.lease.Asked(ctx)
	if err != nil {
		return err
	}
	if asked {
		return build.ErrLeaseTaken
	}
	return t.lease.Take(ctx)
}

// lead runs work while this process keeps the lease, and hands it over.
func (t *Tracker) lead(ctx context.Context, work func(context.Context)) {
	leading, stop := context.WithCancelCause(ctx)
	var keeper sync.WaitGroup
	keeper.Go(func() { stop(t.keep(leading)) })
	if t.hear != nil {
		defer t.hear()()
	}
	t.metrics.lease.Set(1)
	t.metrics.leaseTaken.Inc()
	t.log.Info("this replica folds events into builds")
	defer func() {
		stop(nil)
		keeper.Wait()
		t.metrics.lease.Set(0)
		why := context.Cause(leading)
		if t.gaveUp {
			why = errGivesWay
		}
		// Else the work was done.
		if ctx.Err() == nil && !errors.Is(why, context.Canceled) {
			t.log.Info("this replica stops folding", "why", why)
		}
		release, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if err := t.lease.Release(release); err != nil {
			t.log.Info("the lease was not handed over, it runs out by itself", "error", err)
		}
	}()
	work(leading)
}

// errGivesWay ends a leadership in which nothing could be folded for a while.
var errGivesWay = errors.New("nothing could be folded for too long: another replica may be able to")

// errAsked ends a leadership that somebody else asked for.
var errAsked = errors.New("another process asked for the lease")

// keep extends the lease until ctx ends, the lease is lost, or somebody asks for it.
func (t *Tracker) keep(ctx context.Context) error {
	return keepLease(ctx, func(ctx context.Context) error {
		if err := t.lease.Extend(ctx); err != nil {
			return err
		}
		if asked, err := t.lease.Asked(ctx); err == nil && asked {
			return errAsked
		}
		return nil
	})
}

// fold processes events until ctx ends, or it has been failing for too long for a
// reason that another replica may not have.
func (t *Tracker) fold(ctx context.Context) {
	var quiet sometimes
	failures := 0
	synced := false
	t.gaveUp = false
	worked := time.Now() // when something last did
	var looked time.Time // when the two stores were compared
	defer func() {
		t.ahead.end()
		t.ahead = nil
	}()
	for ctx.Err() == nil {
		n, err := 0, error(nil)
		began := time.Now()
		if !synced {
			looked = began
			err = t.sync(ctx)
		}
		if err == nil {
			synced = true
			n, err = t.step(ctx)
		}
		switch {
		case err == nil:
			failures, worked = 0, time.Now()
			if n == 0 {
				t.idle(ctx)
				// A database that lost its latest commits to a failover gives their
				// positions out again: what is behind the mark would not be seen.
				synced = time.Since(looked) < syncInterval
			} else {
				t.serveRebuilds(ctx)
				if t.ahead == nil { // else there are more
					sleep(ctx, time.Until(began.Add(intervalAfter(n))))
				}
			}
		case moved(err):
			t.log.Info("what Redis holds is not what the database stands at: builds are loaded anew", "cause", err)
			synced = false
		default:
			synced = synced && errors.As(err, new(*poisonError))
			if ctx.Err() != nil {
				return
			}
			failures++
			quiet.do(func() { t.log.Warn("events wait to be folded", "error", err, "failures", failures) })
			if time.Since(worked) > givesUpAfter && !errors.As(err, new(*poisonError)) {
				t.gaveUp = true
				return
			}
			sleep(ctx, jitter(backoff(failures, 20*time.Millisecond, 2*time.Second)))
		}
	}
}

// intervalAfter is how long after the beginning of a batch of n events the next
// one begins, at the earliest.
func intervalAfter(n int) time.Duration {
	if n < busyBatch {
		return batchInterval
	}
	return min(max(busyInterval, time.Duration(n)*time.Second/floodRate), floodInterval)
}

// moved says whether err is that one of the stores does not stand where the
// tracker left it.
func moved(err error) bool {
	return errors.Is(err, build.ErrStale) || errors.Is(err, db.ErrFenced)
}

// idle waits until there may be events.
func (t *Tracker) idle(ctx context.Context) {
	timer := time.NewTimer(lookInterval)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-t.wake:
	case <-timer.C:
	case r := <-t.rebuilds:
		t.serveRebuild(ctx, r)
	}
}

// poisonError is a failure that comes from an event, not from what is around:
// it comes again however often the event is tried.
type poisonError struct{ err error }

func (e *poisonError) Error() string { return e.err.Error() }
func (e *poisonError) Unwrap() error { return e.err }

// step folds one batch and returns how many events it had. It runs to its end
// even when leading ends meanwhile.
func (t *Tracker) step(leading context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(leading), batchTimeout)
	defer cancel()
	limit := cmp.Or(t.atOnce, firstBatch)
	if t.mark.Position < t.alone {
		limit = 1
	}
	events, more, err := t.next(ctx, limit)
	if err != nil {
		return 0, err
	}
	if len(events) == 0 {
		return 0, t.passOwn(ctx)
	}
	began := time.Now()
	last := &events[len(events)-1]
	if more && len(events) > 1 {
		t.atOnce = nextLimit(events)
		t.ahead = t.beginRead(leading, last.Position, t.atOnce)
	}
	b := newBatch(t, last.Position)
	err = b.run(ctx, events)
	poison := new(poisonError)
	switch {
	case err == nil:
		t.atOnce = max(t.atOnce, min(2*len(events), firstBatch))
	case !errors.As(err, &poison):
		if !moved(err) {
			t.atOnce = max(1, len(events)/2)
		}
		return 0, err
	case len(events) > 1: // find out which one it is
		t.alone = last.Position
		return len(events), nil
	default:
		if t.tried != last.Position {
			t.tried, t.tries = last.Position, 0
		}
		if t.tries++; t.tries < poisonTries {
			return 0, err
		}
		if err := t.setAside(t.traces.at(ctx, last.ID), &last.Event, err); err != nil {
			return 0, err
		}
	}
	t.metrics.folded(events, began, t.traces.folded(events, began, err))
	return len(events), nil
}

// passOwn moves past the events of ours behind the mark, which are not read, once
// in a while: retention waits for the cursor, and the lag is told from it.
func (t *Tracker) passOwn(ctx context.Context) error {
	if time.Since(t.passed) < lookInterval {
		return nil
	}
	t.passed = time.Now()
	head, err := t.db.Head(ctx)
	if err != nil || head <= t.mark.Position {
		return err
	}
	delivered, err := t.read(ctx, t.mark.Position, 1)
	if err != nil || len(delivered) > 0 && delivered[0].Position <= head {
		return err
	}
	return newBatch(t, head).write(ctx, Effects{})
}

// nextLimit is how many events the batch after these may have. It grows slowly:
// after batches that were too much, they are small for a reason.
func nextLimit(events []decoded) int {
	builds := make(map[string]struct{})
	for i := range events {
		builds[events[i].BuildID] = struct{}{}
	}
	n := len(events)
	return min(max(n*batchBuilds/len(builds), batchBuilds), 4*n, batchEvents)
}

// setAside moves on past an event that cannot be processed.
func (t *Tracker) setAside(ctx context.Context, e *stream.Event, cause error) error {
	b := newBatch(t, e.Position)
	b.aside = []db.Aside{{Position: e.Position, Reason: cause.Error()}}
	b.own = []db.Own{errorEvent(e, cause)}
	if err := b.write(ctx, Effects{}); err != nil {
		return err
	}
	t.metrics.setAside.Inc()
	t.log.ErrorContext(ctx, "an event cannot be processed and is set aside; 'build-tracker rebuild' tries it again", "position", e.Position, "error", cause)
	return nil
}
