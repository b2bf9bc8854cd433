package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/internal/testenv/servers"
	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
)

// A page that follows a build with the browser's own EventSource hears every
// event once and in order, whether the server is stopped, is killed, or the
// connection breaks; and after the end it asks no more.
func TestBrowserFollowsABuildToItsEnd(t *testing.T) {
	t.Parallel()
	browser := startBrowser(t)
	for name, tc := range map[string]struct {
		end  func(t *testing.T, server *process)
		told []string // what the page hears besides events
	}{
		"when the server is stopped": {func(t *testing.T, server *process) {
			if code := server.stop(); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
		}, []string{"shutdown", "end"}},
		"when the server is killed": {func(_ *testing.T, server *process) { server.kill() }, []string{"end"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port, err := servers.FreePort()
			if err != nil {
				t.Fatal(err)
			}
			env := []string{"DATA_DIR=" + t.TempDir(), fmt.Sprintf("LISTEN_ADDR=127.0.0.1:%d", port)}
			server := startProcess(t, env...)
			b := newWatchedBuild(t, server)
			p := openPage(browser, t, server.url)
			p.follow(b.path, closing)
			b.post(10)
			p.wait("three finished jobs", func() bool { return p.heard(b.path).count("job.finished") >= 3 })
			tc.end(t, server)
			p.wait("two tries in vain", func() bool { return len(p.requests(b.path)) > 2 })
			startProcess(t, env...)
			b.post(9)
			p.wait("six finished jobs", func() bool { return p.heard(b.path).count("job.finished") >= 6 })
			b.postRest()
			p.wait("the end", func() bool { return p.heard(b.path).count("end") > 0 })
			checkFollowed(t, b, p, tc.told)
		})
	}
	t.Run("when its connections break", func(t *testing.T) {
		t.Parallel()
		server := startProcess(t, "DATA_DIR="+t.TempDir())
		b := newWatchedBuild(t, server)
		p := openPage(browser, t, startBreaker(t, server.url, 30_000))
		p.follow(b.path, closing)
		b.postRest()
		p.wait("the end", func() bool { return p.heard(b.path).count("end") > 0 })
		if n := len(p.requests(b.path)); n < 3 {
			t.Errorf("the page connected %d times: its connections did not break twice", n)
		}
		checkFollowed(t, b, p, []string{"end"})
	})
}

// checkFollowed compares what a page heard with what the server has.
func checkFollowed(t *testing.T, b *watchedBuild, p *page, told []string) {
	t.Helper()
	stored, got := b.events(), p.heard(b.path)
	events, besides := got.split()
	if diff := cmp.Diff(stored, events); diff != "" {
		t.Errorf("events (-stored +heard):\n%s", diff)
	}
	if diff := cmp.Diff(told, besides); diff != "" {
		t.Errorf("besides events (-want +heard):\n%s", diff)
	}
	if last := got.Messages[len(got.Messages)-1]; last.Type != "end" || got.State != closed {
		t.Errorf("the page last heard %v, and its EventSource is in state %d; want end and %d", last, got.State, closed)
	}
	p.checkRetries(b.path)

	// One that stays open comes back after the end, to hear it again. By then the
	// one that closed itself would have come back too.
	asked := len(p.requests(b.path))
	open := b.path + "?from=" + stored[len(stored)-1].ID
	p.follow(open, staying)
	p.wait("the end again", func() bool { return p.heard(open).count("end") > 1 })
	if events, _ := p.heard(open).split(); len(events) != 1 {
		t.Errorf("who came back after the end heard %v", p.heard(open).Messages)
	}
	if more := len(p.requests(b.path)) - asked; more > 0 {
		t.Errorf("after the end the page asked %d times more", more)
	}
}

// watchedBuild is a build that passes, and a server that is told of it.
type watchedBuild struct {
	t      *testing.T
	url    string
	path   string // of its events
	rest   []traffic.Delivery
	poster *traffic.Poster
}

// newWatchedBuild returns a build that has just begun. The server may be
// replaced by another at its address.
func newWatchedBuild(t *testing.T, server *process) *watchedBuild {
	t.Helper()
	world := traffic.New(func(n int) int { return n - 1 }, traffic.Options{Builds: 1})
	build := world.Builds[0]
	b := &watchedBuild{
		t: t, url: server.url, rest: world.Deliveries,
		path:   fmt.Sprintf("/api/builds/%s/%s/%d/events", build.Organization, build.Pipeline, build.Number),
		poster: &traffic.Poster{Workers: 1, Target: func() string { return server.url }},
	}
	b.post(1)
	wait(t, func() bool { return server.status(b.path) == http.StatusOK })
	return b
}

// post posts the next n deliveries.
func (b *watchedBuild) post(n int) {
	b.t.Helper()
	if err := b.poster.Post(b.t.Context(), b.rest[:n]); err != nil {
		b.t.Fatal(err)
	}
	b.rest = b.rest[n:]
}

func (b *watchedBuild) postRest() {
	b.t.Helper()
	b.post(len(b.rest))
}

// events returns the build's events as the server has them.
func (b *watchedBuild) events() (events []message) {
	b.t.Helper()
	res, err := asker.Get(b.url + b.path)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	var stored []struct {
		ID   string
		Seq  int
		Type string
	}
	if err := json.NewDecoder(res.Body).Decode(&stored); err != nil {
		b.t.Fatal(err)
	}
	for _, e := range stored {
		events = append(events, message{ID: strconv.Itoa(e.Seq), Type: e.Type, Event: e.ID})
	}
	return events
}

// startBreaker starts a proxy that breaks each connection when the server has
// said so many bytes on it, in the middle of an event mostly. It returns the
// proxy's URL.
func startBreaker(t *testing.T, server string, after int64) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			upstream, err := net.Dial("tcp", strings.TrimPrefix(server, "http://"))
			if err != nil {
				client.Close()
				continue
			}
			context.AfterFunc(t.Context(), func() {
				client.Close()
				upstream.Close()
			})
			running.Go(func() {
				defer client.Close()
				_, _ = io.CopyN(client, upstream, after)
			})
			running.Go(func() {
				defer upstream.Close()
				_, _ = io.Copy(upstream, client)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		running.Wait()
	})
	return "http://" + listener.Addr().String()
}
