package buildtracker

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/bus"
	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
)

// heard is what was published, as words.
type heard struct {
	mu    sync.Mutex
	words []string
}

func (h *heard) say(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.words = append(h.words, fmt.Sprintf(format, args...))
}

func hear(b *bus.Bus) *heard {
	h := new(heard)
	bus.Subscribe(b, bus.PipelineStarted, "test", bus.OnlyPayload(func(_ context.Context, p bus.Build) error {
		h.say("started %s/%d", p.Pipeline, p.Number)
		return nil
	}))
	step := func(name string) func(context.Context, bus.Message[bus.StepUpdate]) error {
		return bus.OnlyPayload(func(_ context.Context, p bus.StepUpdate) error {
			h.say("%s %s %s", name, p.Result.Step.Name, p.Result.Status)
			return nil
		})
	}
	bus.Subscribe(b, bus.StepResultUpdated, "test", step("updated"))
	bus.Subscribe(b, bus.StepResultUpdateConsumed, "test", step("consumed"))
	bus.Subscribe(b, bus.StepFinished, "test", step("finished"))
	bus.Subscribe(b, bus.PipelineFinished, "test", bus.OnlyPayload(func(_ context.Context, p bus.PipelineResult) error {
		var steps []string
		for _, s := range p.Steps {
			steps = append(steps, s.Step.Name+" "+s.Status)
		}
		h.say("%s/%d %s: %s", p.Build.Pipeline, p.Build.Number, p.Status, strings.Join(steps, ", "))
		return nil
	}))
	return h
}

func TestTopicsTellHowABuildGoes(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		r := startServer(t, s)
		h := hear(r.server.Topics())
		b := tell("web", 1)
		for _, d := range []traffic.Delivery{
			b.event("build.running", nil), b.job("lint", "failed"), b.finished("failed", 2), b.finished("passed", 1),
		} {
			r.record(d)
			r.settle()
		}
		r.stop() // and all is published
		want := []string{
			"started web/1",
			"updated lint failed", "consumed lint failed", "finished lint failed",
			"web/1 failed: lint failed",
			"web/1 fixed: lint failed",
		}
		if diff := cmp.Diff(want, h.words); diff != "" {
			t.Errorf("published (-want +got):\n%s", diff)
		}
	})
}

// A subscriber that hangs or panics keeps nobody waiting but the other messages.
func TestSubscriberHoldsNoBuildUp(t *testing.T) {
	t.Parallel()
	r := startServer(t, embeddedStores(t))
	release := make(chan struct{})
	bus.Subscribe(r.server.Topics(), bus.PipelineStarted, "hangs", func(context.Context, bus.Message[bus.Build]) error {
		<-release
		return nil
	})
	bus.Subscribe(r.server.Topics(), bus.PipelineStarted, "panics", func(context.Context, bus.Message[bus.Build]) error {
		panic("oh")
	})
	for n := range 5 {
		r.record(tell("web", n+1).event("build.running", nil))
	}
	r.settle()
	close(release)
	r.stop()
	if !strings.Contains(r.log.String(), "panics") {
		t.Error("the log does not name the subscriber that panics")
	}
}

// What nobody has taken when there is no room left is counted as lost.
func TestSlowSubscribersLoseMessages(t *testing.T) {
	t.Parallel()
	b := bus.New(bus.Options{})
	taken, release := make(chan struct{}, 1), make(chan struct{})
	bus.Subscribe(b, bus.PipelineStarted, "slow", func(context.Context, bus.Message[bus.Build]) error {
		taken <- struct{}{}
		<-release
		<-taken
		return nil
	})
	lost := 0
	a := newAnnouncer(b, slog.New(slog.DiscardHandler), func(n int) { lost += n })
	batch := []announcement{{started: true}}
	a.announce(batch)
	<-taken
	taken <- struct{}{}
	for range announceQueue {
		a.announce(batch)
	}
	if lost != 0 {
		t.Errorf("%d messages were lost with room for them", lost)
	}
	a.announce([]announcement{{started: true, updated: make([]bus.StepResult, 3), result: new(bus.PipelineResult)}})
	if lost != 8 {
		t.Errorf("%d messages were lost, want 8", lost)
	}
	close(release)
	if err := a.stop(); err != nil {
		t.Error(err)
	}
}
