package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/build-tracker/build-tracker/internal/testenv"
	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
)

// startBrowser starts a headless browser that ends with the test.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	home := t.TempDir()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(testenv.Chromium(t)),
		chromedp.Env("HOME="+home, "XDG_CONFIG_HOME="+home, "XDG_CACHE_HOME="+home))
	// Not the test's own context, whose end would kill the browser before its
	// children.
	life, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(cancel)
	allocator, killed := chromedp.NewExecAllocator(life, options...)
	t.Cleanup(killed)
	browser, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	if err := chromedp.Do(browser); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	t.Cleanup(func() {
		closing, cancel := context.WithTimeout(browser, 10*time.Second)
		defer cancel()
		if err := chromedp.Cancel(closing); err != nil {
			t.Errorf("close Chromium: %v", err)
		}
	})
	return browser
}

// page is a page of the server in a browser, with EventSources by path.
type page struct {
	t   *testing.T
	tab context.Context

	mu    sync.Mutex
	asked []sourceRequest
}

// sourceRequest is a request that an EventSource made. Times are in seconds, by
// the browser's clock.
type sourceRequest struct {
	id          network.RequestID
	url         string
	sent, ended float64 // ended is 0 while it is under way
}

// message is what an EventSource heard. Event is the id in the envelope.
type message struct{ ID, Type, Event string }

// listened is what an EventSource heard so far, and its readyState.
type listened struct {
	Messages []message
	State    int
}

// closed is the readyState of an EventSource that is not to come back.
const closed = 2

func (l listened) count(event string) (n int) {
	for _, m := range l.Messages {
		if m.Type == event {
			n++
		}
	}
	return n
}

// split returns the events, and the types of what is none.
func (l listened) split() (events []message, besides []string) {
	for _, m := range l.Messages {
		if m.Event == "" {
			besides = append(besides, m.Type)
		} else {
			events = append(events, m)
		}
	}
	return events, besides
}

// openPage opens a page of a server in a tab of its own.
func openPage(browser context.Context, t *testing.T, server string) *page {
	t.Helper()
	p := &page{t: t}
	// From now on, not from the browser's start: tests wait for their turn between.
	limited, cancel := context.WithTimeout(browser, 3*time.Minute)
	t.Cleanup(cancel)
	tab, cancel := chromedp.NewContext(limited, chromedp.WithListener(p.note))
	t.Cleanup(cancel)
	p.tab = tab
	if err := chromedp.Do(tab, chromedp.Navigate(server+"/-/healthz")); err != nil {
		t.Fatalf("open the page: %v", err)
	}
	evaluate[chromedp.Void](p, `
		window.sources = {}
		window.follow = (path, types, closing) => {
			const source = new EventSource(path), messages = []
			sources[path] = {source, messages}
			for (const type of types) {
				source.addEventListener(type, e => {
					if (!(e instanceof MessageEvent)) return // not the stream's: the connection's
					messages.push({id: e.lastEventId, type: e.type, event: JSON.parse(e.data).id ?? ""})
					if (closing && e.type === "end") source.close()
				})
			}
		}`)
	return p
}

func evaluate[T any](p *page, script string) T {
	p.t.Helper()
	v, err := chromedp.Run(p.tab, chromedp.Evaluate[T](script))
	if err != nil {
		p.t.Fatalf("in the page: %v", err)
	}
	return v
}

// note keeps what the EventSources ask for, and when.
func (p *page) note(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if e.Type == network.ResourceTypeEventSource {
			p.asked = append(p.asked, sourceRequest{id: e.RequestID, url: e.Request.URL, sent: e.Timestamp.Float64()})
		}
	case *network.EventLoadingFinished:
		p.noteEnd(e.RequestID, e.Timestamp.Float64())
	case *network.EventLoadingFailed:
		p.noteEnd(e.RequestID, e.Timestamp.Float64())
	}
}

func (p *page) noteEnd(id network.RequestID, at float64) {
	for i := range p.asked {
		if p.asked[i].id == id {
			p.asked[i].ended = at
		}
	}
}

// requests returns the requests for a path so far.
func (p *page) requests(path string) (requests []sourceRequest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.asked {
		if strings.HasSuffix(r.url, path) {
			requests = append(requests, r)
		}
	}
	return requests
}

// Whether an EventSource closes itself at the event named end.
const (
	closing = true
	staying = false
)

// follow opens an EventSource on a path.
func (p *page) follow(path string, closing bool) {
	p.t.Helper()
	types := []string{
		"build.scheduled", "build.running", "build.finished", "job.scheduled", "job.started", "job.finished",
		"status", "initialize", "start", "finish", "notice", "log", "error",
		"gap", "shutdown", "end", "message",
	}
	list, err := json.Marshal(types)
	if err != nil {
		p.t.Fatal(err)
	}
	evaluate[chromedp.Void](p, fmt.Sprintf("follow(%q, %s, %t)", path, list, closing))
}

// heard returns what the EventSource on a path heard.
func (p *page) heard(path string) listened {
	p.t.Helper()
	return evaluate[listened](p, fmt.Sprintf("({messages: sources[%q].messages, state: sources[%[1]q].source.readyState})", path))
}

// wait returns when a condition holds, which it names.
func (p *page) wait(what string, holds func() bool) {
	p.t.Helper()
	if err := traffic.Eventually(p.t.Context(), time.Minute, func(context.Context) error {
		if !holds() {
			return errors.New(what)
		}
		return nil
	}); err != nil {
		p.t.Fatalf("waited for %v", err)
	}
}

// checkRetries sees that the EventSource on a path came back as soon as the
// server's hint says, and no sooner: without a hint, Chromium waits three
// seconds. On a busy machine it may do so later, and note an end late.
func (p *page) checkRetries(path string) {
	p.t.Helper()
	const early, late = 1.8, 2.8
	requests := p.requests(path)
	shortest := math.Inf(1)
	for i, r := range requests[1:] {
		shortest = min(shortest, r.sent-requests[i].ended)
	}
	if shortest < early || shortest > late {
		p.t.Errorf("the page came back after %.3f s at the earliest, want 2 s: %v", shortest, requests)
	}
}
