package dbtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/db"
)

var jobs = map[string]func(*testing.T, db.Store){
	"a job is done once":                       testJobOnce,
	"a fenced batch has no jobs":               testFencedJob,
	"a job that fails is tried again":          testJobRetry,
	"a job is for who works on its kind":       testJobKind,
	"two workers share the jobs":               testSharedJobs,
	"a job under way is waited for":            testJobUnderWay,
	"a batch of many rows has jobs":            testJobsAndManyRows,
	"a job that is given up is not made again": testLastAttempt,
}

// commitJobs moves the cursor by one with a batch that has jobs of the kind.
func commitJobs(t *testing.T, s db.Store, from int64, kind string, keys ...string) {
	t.Helper()
	noError(t, s.Commit(t.Context(), jobBatch(from, kind, keys...)))
}

func jobBatch(from int64, kind string, keys ...string) db.Batch {
	b := db.Batch{Cursor: "tracker", From: from, To: from + 1}
	for _, k := range keys {
		b.Jobs = append(b.Jobs, db.Job{Kind: kind, Key: k})
	}
	return b
}

// desk does the jobs of a store and notes every attempt.
type desk struct {
	mu       sync.Mutex
	attempts []db.Attempt
	made     chan struct{} // has a token after each attempt
	// fails is how many attempts of each job fail.
	fails int
}

func newDesk() *desk { return &desk{made: make(chan struct{}, 1000)} }

func (d *desk) do(_ context.Context, a db.Attempt) error {
	d.mu.Lock()
	d.attempts = append(d.attempts, a)
	d.mu.Unlock()
	d.made <- struct{}{}
	if a.Number <= d.fails {
		return errors.New("not yet")
	}
	return nil
}

func (d *desk) options(kind string) db.WorkOptions {
	return db.WorkOptions{
		Kind: kind, Do: d.do, AtOnce: 4, Poll: 10 * time.Millisecond,
		RetryAfter: func(int) time.Duration { return 0 },
	}
}

// await returns after n more attempts.
func (d *desk) await(t *testing.T, n int) {
	t.Helper()
	for range n {
		select {
		case <-d.made:
		case <-time.After(20 * time.Second):
			t.Fatal("no attempt was made")
		}
	}
}

// keys returns what attempts were made for, in order.
func (d *desk) keys() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var keys []string
	for _, a := range d.attempts {
		keys = append(keys, a.Key)
	}
	slices.Sort(keys)
	return keys
}

// work works until stop is called, which returns when no attempt is under way.
func work(t *testing.T, s db.Store, o db.WorkOptions) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Work(ctx, o) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// awaitNoJobs returns when every job has ended.
func awaitNoJobs(t *testing.T, s db.Store) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		n := must(s.CountJobs(t.Context()))(t)
		if n == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d jobs have not ended", n)
		}
	}
}

func testJobOnce(t *testing.T, s db.Store) {
	commitJobs(t, s, 0, "count", "a", "b", "a", "\x00", "\xff") // the last two are one
	commitJobs(t, s, 1, "count", "b")
	if n := must(s.CountJobs(t.Context()))(t); n != 3 {
		t.Errorf("%d jobs wait, want 3", n)
	}
	d := newDesk()
	work(t, s, d.options("count"))
	d.await(t, 3)
	awaitNoJobs(t, s)
	commitJobs(t, s, 2, "count", "a", "c") // a is done
	d.await(t, 1)
	awaitNoJobs(t, s)
	if diff := cmp.Diff([]string{"a", "b", "c", "\uFFFD"}, d.keys()); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
}

func testFencedJob(t *testing.T, s db.Store) {
	commitJobs(t, s, 0, "count", "a")
	wantError(t, s.Commit(t.Context(), jobBatch(0, "count", "b")), db.ErrFenced)
	if n := must(s.CountJobs(t.Context()))(t); n != 1 {
		t.Errorf("%d jobs wait, want 1", n)
	}
}

func testJobRetry(t *testing.T, s db.Store) {
	commitJobs(t, s, 0, "count", "a")
	d := newDesk()
	d.fails = 2
	work(t, s, d.options("count"))
	d.await(t, 3)
	awaitNoJobs(t, s)
	want := []db.Attempt{{Key: "a", Number: 1}, {Key: "a", Number: 2}, {Key: "a", Number: 3}}
	if diff := cmp.Diff(want, d.attempts); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
}

func testLastAttempt(t *testing.T, s db.Store) {
	commitJobs(t, s, 0, "count", "a")
	d := newDesk()
	d.fails = 1000
	work(t, s, d.options("count"))
	d.await(t, 25)
	awaitNoJobs(t, s)
	for _, a := range d.attempts {
		if a.Last != (a.Number == 25) {
			t.Errorf("attempt %+v", a)
		}
	}
	commitJobs(t, s, 1, "count", "a")
	if n := must(s.CountJobs(t.Context()))(t); n != 0 {
		t.Error("a job that was given up is there again")
	}
}

func testJobKind(t *testing.T, s db.Store) {
	commitJobs(t, s, 0, "count", "a")
	commitJobs(t, s, 1, "weigh", "a")
	d := newDesk()
	work(t, s, d.options("count"))
	d.await(t, 1)
	for deadline := time.Now().Add(20 * time.Second); must(s.CountJobs(t.Context()))(t) != 1; {
		if time.Now().After(deadline) {
			t.Fatal("the job is not done")
		}
	}
	if diff := cmp.Diff([]string{"a"}, d.keys()); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
}

func testSharedJobs(t *testing.T, s db.Store) {
	var want []string
	for n := range 40 {
		want = append(want, fmt.Sprintf("%02d", n))
	}
	d := newDesk()
	work(t, s, d.options("count"))
	work(t, s, d.options("count"))
	commitJobs(t, s, 0, "count", want...)
	d.await(t, len(want))
	awaitNoJobs(t, s)
	if diff := cmp.Diff(want, d.keys()); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
}

func testJobUnderWay(t *testing.T, s db.Store) {
	commitJobs(t, s, 0, "count", "a")
	working, stop := context.WithCancel(t.Context())
	finished := false
	noError(t, s.Work(working, db.WorkOptions{Kind: "count", Do: func(ctx context.Context, _ db.Attempt) error {
		stop()
		<-working.Done()
		finished = ctx.Err() == nil
		return nil
	}}))
	if !finished {
		t.Error("the attempt was cut off")
	}
	if n := must(s.CountJobs(t.Context()))(t); n != 0 {
		t.Errorf("%d jobs have not ended", n)
	}
}

func testJobsAndManyRows(t *testing.T, s db.Store) {
	b := jobBatch(0, "count", "a")
	for n := range 300 { // more than go in one statement
		b.Rows = append(b.Rows, db.Row{ID: fmt.Sprint("build-", n), Organization: "acme", Pipeline: "web", Number: int64(n), Snapshot: []byte("{}")})
	}
	noError(t, s.Commit(t.Context(), b))
	if n := must(s.CountJobs(t.Context()))(t); n != 1 {
		t.Errorf("%d jobs wait, want 1", n)
	}
	if n := must(s.CountBuilds(t.Context()))(t); n != 300 {
		t.Errorf("%d builds, want 300", n)
	}
}
