package main

import (
	"context"
	"fmt"
	"math/rand"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/build-tracker/build-tracker/internal/testenv"
	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
)

// Whatever Slack does, deliveries are taken as ever, and at the end each failed
// build has its one message.
func TestSlackIsDownLimitsAndLosesAnswers(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes a minute and a half; left out under -short")
	}
	eachPair(t, func(t *testing.T, stores pair) {
		slack, env := newSlack(t)
		server := startProcess(t, append(env, stores.env...)...)
		world := traffic.New(rand.New(rand.NewSource(time.Now().UnixNano())).Intn, traffic.Options{Builds: 100, Triggers: true})
		load := startLoad(t, world, &traffic.Poster{Target: func() string { return server.url }, Workers: 8, Pace: 300 * time.Millisecond})
		load.reached(1, 20)
		lose := func(n int) {
			t.Helper()
			before := countResult(slack, "lost")
			slack.LoseAnswers(n)
			wait(t, func() bool { return countResult(slack, "lost") >= before+n })
		}
		lose(2)
		slack.SetDown(testenv.SlackCutting)
		last(t, 30*time.Second)
		slack.SetDown(testenv.SlackUnavailable)
		last(t, 30*time.Second)
		slack.LimitNext(5, 2*time.Second)
		slack.SetDown(testenv.SlackUp)
		wait(t, func() bool { return countResult(slack, "ratelimited") >= 5 })
		lose(5)
		load.finish()
		load.checkAllTaken()
		verify(t, world, server.url, func() error { return world.CheckMessages(said(slack)) })
		if n := slack.Deleted(); n > 0 {
			t.Errorf("%d messages were deleted by a single server", n)
		}
	})
}

// countResult returns how many posts and edits ended so.
func countResult(slack *testenv.Slack, result string) int {
	return slack.CountCalls("chat.postMessage", result) + slack.CountCalls("chat.update", result)
}

// takeOver is how long a message whose sender died may be in nobody's hands.
const takeOver = 10 * time.Second

// A server is killed after Slack has taken its message and before it can know:
// when it runs again, the message is found and not said twice.
func TestServerKilledAtTheReceiptFindsItsMessage(t *testing.T) {
	t.Parallel()
	eachPair(t, func(t *testing.T, stores pair) {
		slack, env := newSlack(t)
		relay := newRelay(t, slack)
		env = append(append(env, stores.env...), "SLACK_API_URL="+relay.url)
		var server *process
		ready := make(chan struct{})
		relay.onAccepted(func() { <-ready; server.kill() })
		server = startProcess(t, env...)
		close(ready)

		world := traffic.New(rand.New(rand.NewSource(11)).Intn, traffic.Options{Builds: 40})
		var current sync.Map
		current.Store("server", server)
		target := func() string {
			p, _ := current.Load("server")
			return p.(*process).url
		}
		load := startLoad(t, world, &traffic.Poster{Target: target, Workers: 4, Pace: 20 * time.Millisecond})
		wait(t, server.ended)
		killed := time.Now()
		message := slack.Messages()[0]
		again := startProcess(t, env...)
		restart := time.Since(killed)
		current.Store("server", again)
		waitForReceipt(t, again, world, message, takeOver+restart-time.Since(killed))
		load.finish()
		verify(t, world, again.url, func() error { return world.CheckMessages(said(slack)) })
	})
}

// Of two replicas the one that sends is lost after Slack has taken its message:
// the other one takes the notice over and finds the message. A frozen one that
// comes back with Slack's answer in its hands leaves it at that.
func TestReplicaTakesOverFromALostSender(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(p *process){
		"killed": (*process).kill,
		"frozen": func(p *process) { p.signal(syscall.SIGSTOP) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			slack, env := newSlack(t)
			env = append(env, "DATABASE_URL="+testenv.Postgres(t), "REDIS_URL="+testenv.Redis(t))
			servers := &replicas{t: t, env: env}
			var once sync.Once
			lost := make(chan *process, 1)
			ready := make(chan struct{})
			for range 2 {
				relay := newRelay(t, slack)
				p := startProcess(t, append(env, "SLACK_API_URL="+relay.url)...)
				relay.onAccepted(func() {
					<-ready
					once.Do(func() {
						servers.remove(p)
						lose(p)
						lost <- p
					})
				})
				servers.add(p)
			}
			close(ready)
			world := traffic.New(rand.New(rand.NewSource(12)).Intn, traffic.Options{Builds: 40})
			load := startLoad(t, world, &traffic.Poster{Target: servers.target, Workers: 4, Pace: 20 * time.Millisecond})
			p := <-lost
			waitForReceipt(t, servers.any(), world, slack.Messages()[0], takeOver)
			if name == "frozen" {
				p.signal(syscall.SIGCONT)
				wait(t, func() bool { return p.status("/-/healthz") == http.StatusOK })
				servers.add(p)
			}
			load.finish()
			verify(t, world, servers.any().url, func() error { return world.CheckMessages(said(slack)) })
			if n := slack.Deleted(); n > 0 {
				t.Errorf("%d messages were deleted: the one that was found is the only one", n)
			}
		})
	}
}

// waitForReceipt waits until a server knows of a message.
func waitForReceipt(t *testing.T, p *process, world *traffic.World, message testenv.SlackMessage, within time.Duration) {
	t.Helper()
	id := fmt.Sprint(message.Metadata.EventPayload["build_id"])
	i := slices.IndexFunc(world.Builds, func(b traffic.Truth) bool { return b.ID == id })
	if i < 0 {
		t.Fatalf("a message is about build %q, which there is not", id)
	}
	b := world.Builds[i]
	began := time.Now()
	err := traffic.Eventually(t.Context(), within, func(context.Context) error {
		have, err := p.receipts(fmt.Sprintf("%s/%s/%d", b.Organization, b.Pipeline, b.Number))
		if err == nil && !slices.Contains(have, message.TS) {
			err = fmt.Errorf("the server knows of the messages %q, not of %q", have, message.TS)
		}
		return err
	})
	if err != nil {
		t.Errorf("a message is not taken over: %v", err)
		return
	}
	t.Logf("the message was taken over after %s", time.Since(began))
}

// relay stands between a server and Slack.
type relay struct {
	url string

	mu       sync.Mutex
	accepted func()
}

func newRelay(t *testing.T, slack *testenv.Slack) *relay {
	t.Helper()
	to, err := url.Parse(strings.TrimSuffix(slack.URL(), "/api/"))
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ModifyResponse = func(res *http.Response) error {
		if strings.HasSuffix(res.Request.URL.Path, "/chat.postMessage") {
			r.mu.Lock()
			accepted := r.accepted
			r.mu.Unlock()
			if accepted != nil {
				accepted()
			}
		}
		return nil
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	r.url = server.URL + "/api/"
	return r
}

// onAccepted calls f when Slack has accepted a message, before the server hears
// of it.
func (r *relay) onAccepted(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.accepted = f
}
