package main

import (
	"context"
	"math/rand"
	"strings"
	"testing"
	"time"

	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
)

// A server that is asked to stop under load finishes what it began, and the
// next one goes on where it stopped.
func TestServerStopsInOrder(t *testing.T) {
	t.Parallel()
	eachPair(t, func(t *testing.T, stores pair) {
		slack, env := newSlack(t)
		env = append(env, stores.env...)
		world := traffic.New(rand.New(rand.NewSource(7)).Intn, traffic.Options{Builds: 60, Triggers: true})
		first := startProcess(t, env...)
		url := make(chan string, 1)
		url <- first.url
		poster := &traffic.Poster{Workers: 4, Target: func() string {
			now := <-url
			url <- now
			return now
		}}
		posted := make(chan error, 1)
		go func() { posted <- poster.Post(t.Context(), world.Deliveries) }()
		wait(t, func() bool { return poster.Acked() >= int64(len(world.Deliveries)/3) })
		began := time.Now()
		if code := first.stop(); code != 0 {
			t.Errorf("exit code %d, want 0; the log:\n%s", code, first.logged())
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("stopping took %s", took)
		}
		second := startProcess(t, env...)
		<-url
		url <- second.url
		// The lease was handed over: nobody waits for it to run out.
		if err := traffic.Eventually(t.Context(), 3*time.Second, func(context.Context) error {
			if !strings.Contains(second.logged(), "this replica folds") {
				return context.DeadlineExceeded
			}
			return nil
		}); err != nil {
			t.Errorf("the next server does not fold: %v", err)
		}
		if err := <-posted; err != nil {
			t.Fatal(err)
		}
		verify(t, world, second.url, func() error { return world.CheckMessages(said(slack)) })
	})
}
