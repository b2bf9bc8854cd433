package main

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/build-tracker/build-tracker/buildkite"
	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/internal/testenv"
	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
)

// seenWithin is how soon an event is seen that nobody was told of.
const seenWithin = 2 * time.Second

// What a server recorded and died of before it told anybody is found by looking:
// by who watches elsewhere, and by who folds.
func TestEventNobodyWasToldOfIsSeenSoon(t *testing.T) {
	t.Parallel()
	const builds = 6
	database, redis := testenv.Postgres(t), testenv.Redis(t)
	server := startProcess(t, "NOTICES=off", "DATABASE_URL="+database, "REDIS_URL="+redis)
	wait(t, server.folds)
	store, err := db.OpenPostgres(t.Context(), db.PostgresOptions{URL: database})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for number := 1; number <= builds; number++ {
		deliveries := shortBuild(number, "passed")
		begun, end := deliveries[:len(deliveries)-1], deliveries[len(deliveries)-1]
		if err := (&traffic.Poster{Target: func() string { return server.url }, Workers: 1}).Post(t.Context(), begun); err != nil {
			t.Fatal(err)
		}
		heard := watchUntilEnd(t, server, int64(number))
		heard.until("job.finished")
		var recorded time.Time
		if number%3 > 0 {
			appendUntold(t, store, end)
			recorded = time.Now()
		} else {
			recorded = deliverAndDie(t, end, "DATABASE_URL="+database, "REDIS_URL="+redis)
		}
		for _, typ := range []string{"build.finished", "status"} { // it is there, and it is folded
			heard.until(typ)
			if took := time.Since(recorded); took > seenWithin {
				t.Errorf("build %d: %s is seen after %s, want within %s", number, typ, took, seenWithin)
			}
		}
	}
}

// appendUntold records a delivery and tells nobody.
func appendUntold(t *testing.T, store db.Store, d traffic.Delivery) {
	t.Helper()
	p, err := buildkite.Parse(d.Body, buildkite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Append(t.Context(), db.Delivery{
		Key: p.Key, Organization: p.Organization, Pipeline: p.Pipeline, Number: p.Number,
		BuildID: p.BuildID, Type: p.Event, Data: p.Data,
	}); err != nil {
		t.Fatal(err)
	}
}

// deliverAndDie has a server take a delivery and die, and returns when it answered.
// It does not know that others listen, so it would not tell them.
func deliverAndDie(t *testing.T, d traffic.Delivery, env ...string) time.Time {
	t.Helper()
	doomed := startProcess(t, append(env, "NOTICES=off", "DATABASE_LISTEN_URL=postgres://127.0.0.1:1/nowhere")...)
	poster := traffic.Poster{Target: func() string { return doomed.url }}
	if a := poster.Try(t.Context(), d); a.Err != nil || a.Status != http.StatusOK {
		t.Fatalf("a server that hears nobody answers %v", a)
	}
	recorded := time.Now()
	doomed.kill()
	return recorded
}

// hearing is what a watcher hears.
type hearing struct {
	t     *testing.T
	types chan string
}

// watchUntilEnd follows a build, until its end or the test's.
func watchUntilEnd(t *testing.T, p *process, number int64) hearing {
	t.Helper()
	h := hearing{t, make(chan string, 100)}
	w := &watcher{
		path: eventsPath("acme", "web", number), client: &http.Client{Transport: &http.Transport{}},
		target: func() string { return p.url }, heard: func(e watched) { h.types <- e.typ },
	}
	ctx, cancel := context.WithCancel(t.Context())
	var following sync.WaitGroup
	following.Go(func() {
		if err := w.follow(ctx); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		following.Wait()
		w.client.CloseIdleConnections()
	})
	return h
}

// until returns when an event of the type has come.
func (h hearing) until(typ string) {
	h.t.Helper()
	deadline := time.After(time.Minute)
	for {
		select {
		case got := <-h.types:
			if got == typ {
				return
			}
		case <-deadline:
			h.t.Fatalf("%s does not come", typ)
		}
	}
}
