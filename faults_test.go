package buildtracker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
	"github.com/build-tracker/build-tracker/notify"
)

var errCrashed = errors.New("the process is gone")

// crash ends a server at one of the steps it takes: before the step, so that
// it does not happen, or after it, so that nobody hears that it did. From then
// on nothing that the server does has an effect.
type crash struct {
	mu      sync.Mutex
	at      int // the point to crash at; below 0 for none
	points  []string
	crashed bool
}

// step does something that has an effect, unless the process is gone.
func (c *crash) step(name string, do func() error) error {
	if c.point(name + ", before") {
		return errCrashed
	}
	if err := do(); err != nil {
		return err
	}
	if c.point(name + ", after") {
		return errCrashed
	}
	return nil
}

// point passes a point and says whether the process is gone.
func (c *crash) point(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.crashed {
		return true
	}
	c.crashed = len(c.points) == c.at
	c.points = append(c.points, name)
	return c.crashed
}

func (c *crash) gone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.crashed
}

// crashStore is a database that a crashing process uses.
type crashStore struct {
	db.Store
	crash *crash
}

func (s crashStore) Append(ctx context.Context, d db.Delivery) (at db.Appended, err error) {
	err = s.crash.step("append", func() error {
		at, err = s.Store.Append(ctx, d)
		return err
	})
	return at, err
}

func (s crashStore) Commit(ctx context.Context, b db.Batch) error {
	return s.crash.step("commit", func() error { return s.Store.Commit(ctx, b) })
}

func (s crashStore) Claim(ctx context.Context, limit int, ttl time.Duration) (n []db.Notice, err error) {
	if due, err := s.CountDue(ctx); err == nil && due == 0 {
		return nil, nil // a look at nothing is no step
	}
	err = s.crash.step("claim", func() error {
		n, err = s.Store.Claim(ctx, limit, ttl)
		return err
	})
	return n, err
}

func (s crashStore) Extend(ctx context.Context, n db.Notice, ttl time.Duration) error {
	return s.crash.step("extend", func() error { return s.Store.Extend(ctx, n, ttl) })
}

func (s crashStore) Receipt(ctx context.Context, n db.Notice, r db.Receipt) error {
	return s.crash.step("receipt", func() error { return s.Store.Receipt(ctx, n, r) })
}

func (s crashStore) Postpone(ctx context.Context, n db.Notice, p db.Postponement) error {
	return s.crash.step("postpone", func() error { return s.Store.Postpone(ctx, n, p) })
}

// crashRedis makes writes to Redis steps.
type crashRedis struct{ crash *crash }

func (r crashRedis) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (r crashRedis) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		switch name := strings.ToLower(cmd.Name()); name {
		case "set", "evalsha", "eval":
			return r.crash.step("redis "+name, func() error { return next(ctx, cmd) })
		}
		return next(ctx, cmd)
	}
}

func (r crashRedis) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// crashChannel makes messages steps. The channel itself outlives the process.
type crashChannel struct {
	*recorder
	crash *crash
}

func (c crashChannel) Post(ctx context.Context, m notify.Message, about notify.Subject) (ref notify.Ref, err error) {
	err = c.crash.step("post", func() error {
		ref, err = c.recorder.Post(ctx, m, about)
		return err
	})
	return ref, err
}

func (c crashChannel) Update(ctx context.Context, ref notify.Ref, m notify.Message, about notify.Subject) (notify.Ref, error) {
	err := c.crash.step("update", func() error {
		_, err := c.recorder.Update(ctx, ref, m, about)
		return err
	})
	return ref, err
}

// life is one life of a server: from its start to its end or its crash.
type life struct {
	t       *testing.T
	crash   *crash
	db      db.Store
	redis   redis.UniversalClient
	tracker *Tracker
	sender  *notify.Sender
	synced  bool
}

func startLife(t *testing.T, s stores, channel *recorder, at int) *life {
	t.Helper()
	store, client := s.open(t)
	l := &life{t: t, crash: &crash{at: at}, redis: client}
	client.AddHook(crashRedis{l.crash})
	l.db = crashStore{store, l.crash}
	log := slog.New(slog.DiscardHandler)
	l.sender = notify.NewSender(notify.SenderOptions{
		Queue: noticeQueue{l.db, func(string) {}}, Builds: committedBuilds{l.db}, Messenger: crashChannel{channel, l.crash}, Logger: log,
		ClaimTTL: 200 * time.Millisecond, Sweep: 10 * time.Millisecond, Grace: time.Millisecond,
	})
	l.tracker = newTracker(l.db, client, trackerOptions{
		Logger: log, Metrics: newMetrics(), BuildTTL: time.Hour,
		Policy: notify.Policy{MaxAge: 24 * time.Hour}, Committed: l.sender.Wake, Appended: func(string) {},
	})
	return l
}

// end closes what the process had open, as its end would.
func (l *life) end() {
	l.redis.Close()
	if err := l.db.Close(); err != nil {
		l.t.Error(err)
	}
}

// take records deliveries and returns those that were not answered.
func (l *life) take(deliveries []traffic.Delivery) []traffic.Delivery {
	for i, d := range deliveries {
		if _, err := appendDelivery(l.t.Context(), l.db, d); err != nil {
			return deliveries[i:]
		}
	}
	return nil
}

// fold folds what there is, and starts anew where it has to, until the process
// is gone.
func (l *life) fold() {
	ctx := l.t.Context()
	for !l.crash.gone() {
		if !l.synced {
			if err := l.tracker.sync(ctx); err != nil {
				continue
			}
			l.synced = true
		}
		n, err := l.tracker.step(ctx)
		if err != nil {
			l.synced = false
		} else if n == 0 {
			return
		}
	}
}

// speak sends what is due, until the process is gone.
func (l *life) speak() {
	ctx, stop := context.WithCancel(l.t.Context())
	var sending sync.WaitGroup
	sending.Go(func() { l.sender.Run(ctx) })
	await(l.t, "no notice to be due", func() (bool, error) {
		n, err := l.db.CountDue(ctx)
		return n == 0 || l.crash.gone(), err
	})
	stop()
	sending.Wait()
}

// outcome is what a story ends in.
type outcome struct {
	Builds   map[string]build.View
	Messages map[string]string
	Posts    map[string]int
	Events   []string
}

// tellStory plays a story, in scenes of deliveries, in which the server crashes
// at a point, and returns what it ended in and which points there were.
func tellStory(t *testing.T, s stores, scenes [][]traffic.Delivery, at int) (outcome, []string) {
	t.Helper()
	channel := newRecorder()
	l := startLife(t, s, channel, at)
	points := l.crash
	for _, scene := range scenes {
		for left := scene; ; {
			left = l.take(left)
			l.fold()
			if !l.crash.gone() {
				l.speak()
			}
			if !l.crash.gone() {
				break
			}
			l.end()
			l = startLife(t, s, channel, -1)
		}
	}
	defer l.end()

	ids := make(map[string]bool)
	out := outcome{Messages: channel.last(t), Posts: make(map[string]int)}
	for about, n := range channel.posts {
		out.Posts[about.BuildID] = n
	}
	events, err := l.db.ReadAll(t.Context(), db.ReadQuery{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		ids[e.BuildID] = true
		out.Events = append(out.Events, fmt.Sprintf("%s %d %s", e.BuildID, e.Seq, e.Type))
	}
	slices.Sort(out.Events) // messages of two builds go out in any order
	var list []string
	for id := range ids {
		list = append(list, id)
	}
	out.Builds = buildViews(t, l.db, list)
	return out, points.points
}

// A server that crashes at any step of an append, a batch or a send ends, after
// its restart, in what it would have ended in without.
func TestCrashAtAnyStepChangesNothing(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		one, two, child := tell("web", 1), tell("web", 2), tell("deploy", 1)
		child.from(two)
		scenes := [][]traffic.Delivery{
			{one.event("build.running", nil), one.job("lint", "failed"), one.finished("failed", 9)},
			{two.event("build.running", nil), child.job("smoke", "failed"), child.finished("failed", 8), two.finished("failed", 7)},
			{one.job("test", "failed"), one.finished("passed", 6)},
		}
		want, points := tellStory(t, s, scenes, -1)
		for id, n := range want.Posts {
			if n != 1 {
				t.Fatalf("without a crash %s has %d messages", id, n)
			}
		}
		t.Logf("%d points to crash at", len(points))
		for at, point := range points {
			t.Run(fmt.Sprintf("%02d %s", at, point), func(t *testing.T) {
				t.Parallel()
				got, _ := tellStory(t, s.another(t), scenes, at)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("the story ended otherwise (-without +with the crash):\n%s", diff)
				}
			})
		}
	})
}
