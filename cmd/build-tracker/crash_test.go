package main

import (
	"context"
	"math/rand"
	"sync/atomic"
	"testing"
	"time"

	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
)

// However often the server is killed under load: what it answered 200 to is in
// the stream once, builds are right, and each failed build has its one message.
func TestKilledServerLosesNothingAndSaysNothingTwice(t *testing.T) {
	t.Parallel()
	const kills = 10
	eachPair(t, func(t *testing.T, stores pair) {
		slack, env := newSlack(t)
		env = append(env, stores.env...)
		world := traffic.New(rand.New(rand.NewSource(time.Now().UnixNano())).Intn, traffic.Options{Builds: 150, Triggers: true})
		var server atomic.Pointer[process]
		server.Store(startProcess(t, env...))
		poster := &traffic.Poster{Target: func() string { return server.Load().url }, Workers: 8, Pace: 5 * time.Millisecond}
		posted := make(chan error, 1)
		go func() { posted <- poster.Post(t.Context(), world.Deliveries) }()

		for k := range kills {
			after := int64(len(world.Deliveries) * (k + 1) / (kills + 1))
			wait(t, func() bool { return poster.Acked() >= after })
			server.Load().kill()
			server.Store(startProcess(t, env...))
		}
		if err := <-posted; err != nil {
			t.Fatal(err)
		}
		verify(t, world, server.Load().url, func() error { return world.CheckMessages(said(slack)) })
		if n := slack.Deleted(); n > 0 {
			t.Logf("%d messages were sent twice and taken back", n)
		}
	})
}

// verify waits until builds and messages are as they must be, and then looks
// at the stream.
func verify(t *testing.T, world *traffic.World, url string, messages func() error) {
	t.Helper()
	if err := traffic.Eventually(t.Context(), time.Minute, func(ctx context.Context) error { return world.CheckBuilds(ctx, url) }); err != nil {
		t.Error(err)
	}
	if err := traffic.Eventually(t.Context(), 2*time.Minute, func(context.Context) error { return messages() }); err != nil {
		t.Error(err)
	}
	if err := world.CheckEvents(t.Context(), url); err != nil {
		t.Error(err)
	}
	// Trouble around an event is no fault of the event.
	if n := metric(url, "buildtracker_events_set_aside"); n != 0 {
		t.Errorf("%v events are set aside, want 0", n)
	}
}

// wait returns when a condition holds.
func wait(t *testing.T, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Minute)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("waited for two minutes")
		}
	}
}
