package main

import (
	"math/rand"
	"net/http"
	"testing"
	"time"

	"github.com/build-tracker/build-tracker/internal/testenv"
	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
)

// Without its database a server says so, at once and to everybody, and goes on
// by itself when the database is back.
func TestPostgresIsStoppedAndKilledUnderLoad(t *testing.T) {
	t.Parallel()
	postgres := testenv.StartPostgres(t)
	slack, env := newSlack(t)
	slack.SetLatency(300 * time.Millisecond) // so that messages wait for their receipt when the database is lost
	server := startProcess(t, append(env, "DATABASE_URL="+postgres.URL(), "REDIS_URL="+testenv.Redis(t))...)
	world := traffic.New(rand.New(rand.NewSource(time.Now().UnixNano())).Intn, traffic.Options{Builds: 100, Triggers: true})
	load := startLoad(t, world, &traffic.Poster{Target: func() string { return server.url }, Workers: 8, Pace: 30 * time.Millisecond})

	rounds := []struct {
		lose func()
		off  time.Duration
	}{
		{postgres.Stop, time.Second},
		{postgres.Kill, time.Second},
		{postgres.Stop, 12 * time.Second}, // longer than a claim
		{postgres.Kill, 5 * time.Second},
	}
	for i, round := range rounds {
		load.reached(i+1, len(rounds)+1)
		before := load.countRefused()
		round.lose()
		wait(t, func() bool { return load.countRefused() >= before+50 })
		if got := server.status("/-/readyz"); got != http.StatusServiceUnavailable {
			t.Errorf("round %d: /-/readyz answers %d without a database, want 503", i, got)
		}
		if got := server.status("/-/healthz"); got != http.StatusOK {
			t.Errorf("round %d: /-/healthz answers %d without a database, want 200", i, got)
		}
		last(t, round.off)
		postgres.Start()
		back := time.Now()
		wait(t, func() bool { return server.status("/-/readyz") == http.StatusOK })
		taken := load.poster.Acked()
		wait(t, func() bool { return load.poster.Acked() > taken || load.ended() })
		if took := time.Since(back); took > 5*time.Second {
			t.Errorf("round %d: deliveries are taken %s after the database is back", i, took)
		}
		if server.ended() {
			t.Fatalf("round %d: the server has ended", i)
		}
	}
	load.finish()
	checkRefusals(t, load)
	verify(t, world, server.url, func() error { return world.CheckMessages(said(slack)) })
}

// checkRefusals fails the test unless each delivery that was not taken was
// answered 503, with a word about when to come back, well before Buildkite
// stops waiting.
func checkRefusals(t *testing.T, l *load) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	wrong := 0
	for _, a := range l.refused {
		if a.Err != nil || a.Status != http.StatusServiceUnavailable || a.RetryAfter == "" {
			if wrong++; wrong < 5 {
				t.Errorf("a delivery that cannot be recorded got %v", a)
			}
		}
	}
	if l.slowest > 4500*time.Millisecond {
		t.Errorf("a delivery was answered after %s", l.slowest)
	}
}
