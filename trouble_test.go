package buildtracker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
	"github.com/build-tracker/build-tracker/stream"
)

// troubledStore is a database whose answers a test bends.
type troubledStore struct {
	db.Store
	commit func(context.Context, db.Batch) error
	branch func()
	read   func()
}

func (s *troubledStore) Commit(ctx context.Context, b db.Batch) error {
	if s.commit != nil {
		return s.commit(ctx, b)
	}
	return s.Store.Commit(ctx, b)
}

func (s *troubledStore) Branch(ctx context.Context, q []db.BranchQuery) ([][]db.Row, error) {
	if s.branch != nil {
		s.branch()
	}
	return s.Store.Branch(ctx, q)
}

func (s *troubledStore) EachOfBuilds(ctx context.Context, builds []db.BuildQuery, do func(*stream.Event) error) error {
	if s.read != nil {
		s.read()
	}
	return s.Store.EachOfBuilds(ctx, builds, do)
}

// A commit that was given up on may still happen: after the tracker looked
// where the database stands, and while it does the batch again.
func TestCommitThatHappensLateLeavesNothingStale(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		r := newRig(t, s)
		defer r.close()
		store := &troubledStore{Store: r.db}
		r.tracker.db = store
		one, two := tell("web", 1), tell("web", 2)
		r.append(one.event("build.running", nil), two.finished("failed", 5))
		r.fold()

		var late db.Batch
		store.commit = func(_ context.Context, b db.Batch) error {
			late, store.commit = b, nil
			return context.DeadlineExceeded
		}
		r.append(one.finished("failed", 6))
		if _, err := r.tracker.step(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("the commit that nobody heard of ended in %v", err)
		}
		if err := r.tracker.sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		store.branch = func() {
			store.branch = nil
			if err := r.db.Commit(t.Context(), late); !errors.Is(err, db.ErrFenced) {
				t.Errorf("what was given up on is committed late: %v, want ErrFenced", err)
			}
		}
		if _, err := r.tracker.step(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.append(two.job("late", "failed"))
		r.fold()
		if got := r.builds([]string{"web-2"})["web-2"].ConsecutiveFailures; got != 2 {
			t.Errorf("build 2 is failure %d of its row, want 2", got)
		}
	})
}

// A rebuild makes right what was wrong, also where a build's own result is as
// it was.
func TestRebuildCountsStreaksAnew(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		r := newRig(t, s)
		defer r.close()
		var ids []string
		for n := range 5 {
			b := tell("web", 5-n)
			b.fields["id"] = fmt.Sprintf("%d-web", (n*3)%5) // not in order of number
			ids = append(ids, b.id())
			r.append(b.finished("failed", 5))
		}
		r.fold()
		want := r.builds(ids)

		rows, err := r.db.Builds(t.Context(), ids)
		if err != nil {
			t.Fatal(err)
		}
		for i := range rows {
			b, err := build.Decode(rows[i].Snapshot)
			if err != nil {
				t.Fatal(err)
			}
			b.Streak = build.Streak{Failures: 77, FirstFailed: 7}
			rows[i].Snapshot = build.Encode(b)
			rows[i].Streak = b.Streak
		}
		at := r.tracker.mark.Position
		if err := r.db.Commit(t.Context(), db.Batch{Cursor: trackerCursor, Generation: r.tracker.mark.Generation, From: at, To: at, Rows: rows}); err != nil {
			t.Fatal(err)
		}
		if err := r.tracker.rebuild(t.Context(), &rebuildRequest{ctx: t.Context()}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, r.builds(ids)); diff != "" {
			t.Errorf("builds after the rebuild (-want +got):\n%s", diff)
		}
	})
}

func TestPanicInARebuildIsAnError(t *testing.T) {
	t.Parallel()
	r := newRig(t, embeddedStores(t))
	defer r.close()
	r.append(tell("web", 1).finished("failed", 5))
	r.fold()
	r.tracker.db = &troubledStore{Store: r.db, read: func() { panic("poison") }}
	err := r.tracker.rebuild(t.Context(), &rebuildRequest{ctx: t.Context()})
	if err == nil || !strings.Contains(err.Error(), "panic: poison") {
		t.Errorf("the rebuild ended with %v, want the panic", err)
	}
}

// poison appends an event that cannot be folded.
func (r *rig) poison(about *told) int64 {
	r.t.Helper()
	at, err := r.db.Append(r.t.Context(), db.Delivery{
		Key: [32]byte{1, byte(about.number)}, Organization: "acme", Pipeline: about.pipeline, Number: int64(about.number),
		BuildID: about.id(), Type: "build.finished", Data: []byte(`{}`),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return at.Position
}

// A rebuild with no server to fold beside it gets past an event that cannot be
// processed.
func TestPoisonDoesNotEndARebuild(t *testing.T) {
	t.Parallel()
	r := newRig(t, embeddedStores(t))
	defer r.close()
	r.append(tell("web", 1).finished("failed", 5))
	r.fold()
	r.poison(tell("web", 2))
	if err := r.tracker.rebuild(t.Context(), &rebuildRequest{ctx: t.Context()}); err != nil {
		t.Errorf("the rebuild ended with %v", err)
	}
}

// Tries are counted for one event: another's are not held against it.
func TestTriesAreCountedForEachEvent(t *testing.T) {
	t.Parallel()
	r := newRig(t, embeddedStores(t))
	defer r.close()
	r.fold()
	first := r.poison(tell("web", 1))
	fail := func(times int) {
		t.Helper()
		for range times {
			if _, err := r.tracker.step(t.Context()); !errors.As(err, new(*poisonError)) {
				t.Fatalf("the step ended in %v, want the event's failure", err)
			}
		}
	}
	fail(poisonTries - 1)
	// Another replica sets it aside, and this one comes back to the lease.
	aside := db.Batch{Cursor: trackerCursor, Generation: r.tracker.mark.Generation, To: first, Aside: []db.Aside{{Position: first}}}
	if err := r.db.Commit(t.Context(), aside); err != nil {
		t.Fatal(err)
	}
	if err := r.tracker.sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.poison(tell("web", 2))
	fail(poisonTries - 1)
	if n, err := r.tracker.step(t.Context()); n != 1 || err != nil {
		t.Errorf("after %d tries: %d, %v", poisonTries, n, err)
	}
}

// A database that lost its latest commits to a failover gives their positions
// to other events. Those do not wait until it has caught up.
func TestDatabaseThatFellBackIsNoticedWhileIdle(t *testing.T) {
	t.Parallel()
	r := newRig(t, embeddedStores(t))
	defer r.close()
	at := r.append(tell("web", 1).finished("failed", 5))[0].Position
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); r.tracker.fold(ctx) }()
	defer func() { stop(); <-ended }()
	folded := func() (bool, error) {
		cursor, err := r.db.Cursor(ctx, trackerCursor)
		return cursor.Position >= at, err
	}
	await(t, "the event to be folded", folded)
	await(t, "the database to fall back", func() (bool, error) {
		cursor, err := r.db.Cursor(ctx, trackerCursor)
		if err != nil {
			return false, err
		}
		err = r.db.Commit(ctx, db.Batch{Cursor: trackerCursor, Generation: cursor.Generation, From: cursor.Position, To: 0})
		return err == nil, err // the cursor may just have passed the events of ours
	})
	await(t, "the event to be folded again", folded)
}

// A pipeline that was deleted and made again counts from 1. The builds of its
// earlier life count only where the new one has none, even one that is undecided.
func TestBuildOfAnEarlierLifeDoesNotCount(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		r := newRig(t, s)
		defer r.close()
		born := func(number int, life string, day int) *told {
			b := tell("web", number)
			b.fields["id"] = fmt.Sprintf("%s-%d", life, number)
			b.fields["created_at"] = time.Now().AddDate(0, 0, day).UTC().Format(time.RFC3339)
			return b
		}
		r.append(
			born(1, "old", -30).finished("failed", 50),
			born(4, "old", -30).finished("passed", 50),
			born(5, "old", -30).finished("failed", 50),
		)
		r.fold()
		r.append(
			born(1, "new", -1).event("build.running", nil),
			born(4, "new", -1).event("build.running", nil),
		)
		r.fold()
		r.append(born(2, "new", -1).finished("failed", 30))
		r.fold()
		if first := orZero(r.builds([]string{"new-2"})["new-2"].FirstFailedNumber); first != 2 {
			t.Errorf("the row of build 2 begins with build %d, want 2", first)
		}
		r.append(born(3, "new", -1).finished("failed", 20))
		r.fold()
		ids := []string{"new-2", "new-3", "old-5"}
		got := make(map[string]build.Streak)
		for id, v := range r.builds(ids) {
			got[id] = build.Streak{Failures: v.ConsecutiveFailures, FirstFailed: orZero(v.FirstFailedNumber), LastPassed: orZero(v.LastPassedNumber)}
		}
		want := map[string]build.Streak{
			"new-2": {Failures: 1, FirstFailed: 2}, "new-3": {Failures: 2, FirstFailed: 2}, "old-5": {Failures: 3, FirstFailed: 2},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("streaks (-want +got):\n%s", diff)
		}
	})
}

// The message of a build follows it although its branch is the default no more.
func TestMessageFollowsABuildOfAFormerDefaultBranch(t *testing.T) {
	t.Parallel()
	r := newRig(t, embeddedStores(t))
	defer r.close()
	b := tell("web", 1)
	r.append(b.finished("failed", 5))
	r.expect(map[string]string{"web-1": ":red_circle: Build 1 failed"})
	fixed := b.finished("passed", 1)
	fixed.Body = []byte(strings.ReplaceAll(string(fixed.Body), `"default_branch":"main"`, `"default_branch":"trunk"`))
	r.append(fixed)
	r.expect(map[string]string{"web-1": ":large_green_circle: Build 1 fixed"})
}

// A build that another triggered speaks as soon as that one is known not to.
func TestTriggeredBuildSpeaksWhenItsParentsDefaultBranchIsAnother(t *testing.T) {
	t.Parallel()
	r := newRig(t, embeddedStores(t))
	defer r.close()
	parent := tell("web", 1)
	child := tell("deploy", 1).from(parent)
	running := parent.event("build.running", nil)
	running.Body = []byte(strings.ReplaceAll(string(running.Body), `"default_branch":"main",`, ""))
	r.append(running, child.finished("failed", 5))
	r.expect(map[string]string{})
	other := parent.event("build.started", nil)
	other.Body = []byte(strings.ReplaceAll(string(other.Body), `"default_branch":"main"`, `"default_branch":"trunk"`))
	r.append(other)
	r.expect(map[string]string{"deploy-1": ":red_circle: Build 1 failed"})
}

func TestBuildThatTriggeredItselfSpeaks(t *testing.T) {
	t.Parallel()
	r := newRig(t, embeddedStores(t))
	defer r.close()
	b := tell("web", 1)
	r.append(b.from(b).finished("failed", 5))
	r.expect(map[string]string{"web-1": ":red_circle: Build 1 failed"})
}

// The first of a long row passes after all: every later build counts anew.
func TestLongRowOfFailuresIsCountedAnewAtOnce(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		r := newRig(t, s)
		defer r.close()
		const length = 300
		deliveries := make(chan traffic.Delivery)
		go func() {
			defer close(deliveries)
			for n := range length {
				deliveries <- tell("web", n+1).finished("failed", 50)
			}
		}()
		errs := make(chan error, 64)
		for range cap(errs) {
			go func() {
				var failed []error
				for d := range deliveries {
					if _, err := appendDelivery(t.Context(), r.db, d); err != nil {
						failed = append(failed, err)
					}
				}
				errs <- errors.Join(failed...)
			}()
		}
		for range cap(errs) {
			if err := <-errs; err != nil {
				t.Fatal(err)
			}
		}
		r.fold()
		r.append(tell("web", 1).finished("passed", 1))
		began := time.Now()
		r.fold()
		t.Logf("counted %d builds anew in %s", length, time.Since(began))
		got := r.builds([]string{fmt.Sprint("web-", length)})
		for _, v := range got {
			if v.ConsecutiveFailures != length-1 {
				t.Errorf("the last build is failure %d of its row", v.ConsecutiveFailures)
			}
		}
	})
}

// What is too much for one transaction is done in smaller ones.
func TestBatchThatTakesTooLongIsHalved(t *testing.T) {
	t.Parallel()
	r := newRig(t, embeddedStores(t))
	defer r.close()
	const builds = 20
	for n := range builds {
		r.append(tell("web", n+1).finished("passed", 5))
	}
	store := &troubledStore{Store: r.db}
	store.commit = func(ctx context.Context, b db.Batch) error {
		if len(b.Rows) > builds/4 {
			return context.DeadlineExceeded
		}
		return store.Store.Commit(ctx, b)
	}
	r.tracker.db = store
	for tries := 0; ; tries++ {
		if err := r.tracker.sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		n, err := r.tracker.step(t.Context())
		if err == nil && n == 0 {
			break
		}
		if tries > builds {
			t.Fatalf("after %d tries: %v", tries, err)
		}
	}
	if n, err := r.db.CountBuilds(t.Context()); n != builds || err != nil {
		t.Errorf("%d builds, %v; want %d", n, err, builds)
	}
}

// A leader that reaches Redis and not the database gives way to one that does.
func TestTrackerThatCannotFoldGivesUpTheLease(t *testing.T) {
	t.Parallel()
	s := embeddedStores(t)
	r := newRig(t, s)
	defer r.close()
	away := &troubledStore{Store: r.db, commit: func(context.Context, db.Batch) error { return errors.New("no route to host") }}
	options := trackerOptions{
		Logger: slog.New(slog.DiscardHandler), Metrics: newMetrics(), BuildTTL: time.Hour, Committed: func() {}, Appended: func(string) {},
	}
	stuck := newTracker(away, r.redis, options)
	options.Metrics = newMetrics()
	other := newTracker(r.db, r.redis, options)
	r.append(tell("web", 1).event("build.running", nil))

	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { stuck.Run(ctx) })
	await(t, "the one that is stuck to lead", func() (bool, error) {
		return testutil.ToFloat64(stuck.metrics.lease) == 1, nil
	})
	running.Go(func() { other.Run(ctx) })
	await(t, "the other one to fold", func() (bool, error) {
		rows, err := r.db.Builds(ctx, []string{"web-1"})
		return len(rows) == 1, err
	})
}
