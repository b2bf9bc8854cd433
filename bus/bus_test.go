package bus_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/bus"
)

func TestHooksSeeWhatRunsAndHowLongItTook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen []string // one handler runs at a time
		b := bus.New(bus.Options{
			Started: func(s *bus.Subscription) { seen = append(seen, "started "+s.Name()) },
			Handled: func(s *bus.Subscription, took time.Duration, err error) {
				seen = append(seen, fmt.Sprintf("%s %s %s: %v", s.Topic(), s.Name(), took, err))
			},
		})
		once := func(name string, handle handler) {
			s := bus.Subscribe(b, numbers, name, handle)
			defer s.Unsubscribe()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_ = bus.Publish(ctx, b, numbers, 1)
		}
		once("good", sleeper(time.Millisecond))
		once("bad", func(context.Context, bus.Message[int]) error { return errors.New("refused") })
		once("late", func(context.Context, bus.Message[int]) error {
			time.Sleep(time.Minute)
			panic("too late for the publisher to hear")
		})
		if err := b.Close(t.Context()); err != nil {
			t.Error(err)
		}
		want := []string{
			"started good", "numbers good 1ms: <nil>",
			"started bad", "numbers bad 0s: refused",
			"started late", "numbers late 1m0s: panic: too late for the publisher to hear",
		}
		if diff := cmp.Diff(want, seen); diff != "" {
			t.Error(diff)
		}
	})
}

func TestCloseWaitsForHandlersLeftBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := bus.New(bus.Options{})
		var done atomic.Bool
		bus.Subscribe(b, numbers, "slow", func(context.Context, bus.Message[int]) error {
			time.Sleep(time.Minute)
			done.Store(true)
			return nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := bus.Publish(ctx, b, numbers, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		err := b.Close(ctx)
		want := "close the bus: still running: slow (numbers): context deadline exceeded"
		if fmt.Sprint(err) != want || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if err := b.Close(t.Context()); err != nil || !done.Load() {
			t.Errorf("closed with %v before the handler was done", err)
		}
	})
}

func TestAClosedBusCallsNobody(t *testing.T) {
	t.Parallel()
	b := bus.New(bus.Options{})
	var calls atomic.Int32
	bus.Subscribe(b, numbers, "early", counter(&calls))
	for range 2 {
		if err := b.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	bus.Subscribe(b, numbers, "late", counter(&calls)).Unsubscribe()
	if err := bus.Publish(t.Context(), b, numbers, 1); !errors.Is(err, bus.ErrClosed) || calls.Load() != 0 {
		t.Errorf("got %v after %d calls", err, calls.Load())
	}
}

func TestTopicsOfTheServer(t *testing.T) {
	t.Parallel()
	want := []string{
		"pipeline-started", "step-result-updated", "step-result-update-consumed", "step-finished", "pipeline-finished",
	}
	got := []string{
		bus.PipelineStarted.String(), bus.StepResultUpdated.String(), bus.StepResultUpdateConsumed.String(),
		bus.StepFinished.String(), bus.PipelineFinished.String(),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
