package notify_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/internal/testenv"
	"github.com/build-tracker/build-tracker/notify"
)

// world is a Slack, a queue and builds, in a bubble where time passes at once.
type world struct {
	t      *testing.T
	slack  *testenv.Slack
	client *http.Client
	queue  *memoryQueue
	builds *memoryBuilds
	logs   *syncBuffer

	mu       sync.Mutex
	degraded []notify.Level
	results  map[notify.Result]int
	panics   int
}

func inWorld(t *testing.T, o testenv.SlackOptions, test func(*testing.T, *world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			t: t, slack: testenv.NewSlackHandler(o), queue: newQueue(), builds: &memoryBuilds{},
			logs: &syncBuffer{}, results: make(map[notify.Result]int),
		}
		w.client = w.slack.PipeClient(t)
		test(t, w)
	})
}

func (w *world) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (w *world) messenger() *notify.Slack {
	return notify.NewSlack(notify.SlackOptions{
		Token: w.slack.Token(), Channel: "#builds", APIURL: w.slack.URL(), HTTPClient: w.client, Logger: w.logger(),
	})
}

func (w *world) metrics() notify.Metrics {
	locked := func(f func()) {
		w.mu.Lock()
		defer w.mu.Unlock()
		f()
	}
	return notify.Metrics{
		Began: func(ctx context.Context, _ notify.Notice) (context.Context, func(notify.Result)) {
			return ctx, func(r notify.Result) { locked(func() { w.results[r]++ }) }
		},
		Degraded: func(l notify.Level) { locked(func() { w.degraded = append(w.degraded, l) }) },
		Panicked: func() { locked(func() { w.panics++ }) },
		Called:   func(context.Context, string, notify.Outcome, time.Duration) {},
	}
}

// start runs a Sender until stop is called, which waits for it.
func (w *world) start(m notify.Messenger) (s *notify.Sender, stop func()) {
	w.t.Helper()
	s = notify.NewSender(notify.SenderOptions{
		Queue: w.queue, Builds: w.builds, Messenger: m, Logger: w.logger(), Metrics: w.metrics(),
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	stop = func() {
		cancel()
		running.Wait()
	}
	w.t.Cleanup(stop)
	return s, stop
}

// fails makes a build fail and wants its notice.
func (w *world) fails(id string, number int64) *build.Build {
	b := build.New(id, "acme", "web", number)
	apply(b, "failed", time.Now())
	addJob(b, "j1", "lint", "failed")
	return w.moved(b)
}

// isFixed makes b pass.
func (w *world) isFixed(b *build.Build) {
	apply(b, "passed", b.Latest.Time().Add(time.Minute))
	w.moved(b)
}

// moved brings b and its notice to the next revision.
func (w *world) moved(b *build.Build) *build.Build {
	b.Rev++
	w.builds.set(b)
	w.queue.want(b.ID, b.Rev)
	return b
}

// one returns the only message there is.
func (w *world) one() testenv.SlackMessage {
	w.t.Helper()
	messages := w.slack.Messages()
	if len(messages) != 1 {
		w.t.Fatalf("%d messages, want 1: %+v", len(messages), messages)
	}
	return messages[0]
}

func (w *world) wantText(want string) testenv.SlackMessage {
	w.t.Helper()
	m := w.one()
	if m.Text != want {
		w.t.Errorf("the message says %q, want %q", m.Text, want)
	}
	return m
}

// settled waits d and until nothing moves any more.
func settled(d time.Duration) {
	time.Sleep(d) // a bubble's time: it costs none
	synctest.Wait()
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
