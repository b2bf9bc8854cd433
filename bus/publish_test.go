package bus_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/bus"
)

var numbers = bus.NewTopic[int]("numbers")

// handler is what Subscribe takes on the topic numbers.
type handler = func(context.Context, bus.Message[int]) error

// sleeper handles in this time, or until the context ends.
func sleeper(d time.Duration) handler {
	return func(ctx context.Context, _ bus.Message[int]) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// deaf handles until released, whatever the context says.
func deaf(release <-chan struct{}) handler {
	return func(context.Context, bus.Message[int]) error {
		<-release
		return nil
	}
}

func TestMessageSaysTopicTimeAndPayload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := bus.New(bus.Options{})
		var got bus.Message[int]
		bus.Subscribe(b, numbers, "reader", func(_ context.Context, m bus.Message[int]) error {
			got = m
			return nil
		})
		if err := bus.Publish(t.Context(), b, numbers, 7); err != nil {
			t.Fatal(err)
		}
		want := bus.Message[int]{Topic: "numbers", Time: time.Now(), Payload: 7}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestPublishReturnsWhenTheSlowestHasHandled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := bus.New(bus.Options{})
		for _, d := range []time.Duration{0, 3 * time.Second, time.Second} {
			bus.Subscribe(b, numbers, d.String(), sleeper(d))
		}
		began := time.Now()
		if err := bus.Publish(t.Context(), b, numbers, 1); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

func TestSubscribersRunInParallel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // in which a deadlock fails
		b := bus.New(bus.Options{})
		var all sync.WaitGroup
		for range 3 {
			all.Add(1)
			bus.Subscribe(b, numbers, "waits for the others", func(context.Context, bus.Message[int]) error {
				all.Done()
				all.Wait()
				return nil
			})
		}
		if err := bus.Publish(t.Context(), b, numbers, 1); err != nil {
			t.Error(err)
		}
	})
}

func TestOnlyATopicsSubscribersAreCalled(t *testing.T) {
	t.Parallel()
	b := bus.New(bus.Options{})
	bus.Subscribe(b, bus.NewTopic[int]("other"), "other", func(context.Context, bus.Message[int]) error {
		return errors.New("called for another topic")
	})
	if err := bus.Publish(t.Context(), b, numbers, 1); err != nil {
		t.Error(err)
	}
}

func TestFailuresAreNamedAndHarmNoOther(t *testing.T) {
	t.Parallel()
	b := bus.New(bus.Options{})
	errRefused, errBroken := errors.New("refused"), errors.New("broken")
	handled := false
	bus.Subscribe(b, numbers, "refuser", func(context.Context, bus.Message[int]) error { return errRefused })
	bus.Subscribe(b, numbers, "panicker", func(context.Context, bus.Message[int]) error { panic(errBroken) })
	bus.Subscribe(b, numbers, "leaver", func(context.Context, bus.Message[int]) error {
		runtime.Goexit()
		return nil
	})
	bus.Subscribe(b, numbers, "worker", func(context.Context, bus.Message[int]) error {
		handled = true
		return nil
	})

	err := bus.Publish(t.Context(), b, numbers, 1)
	want := []string{
		"subscriber refuser has not handled numbers: refused",
		"subscriber panicker has not handled numbers: panic: broken",
		"subscriber leaver has not handled numbers: its handler ended its goroutine without returning",
	}
	if diff := cmp.Diff(want, strings.Split(fmt.Sprint(err), "\n")); diff != "" {
		t.Error(diff)
	}
	if !errors.Is(err, errRefused) || !errors.Is(err, errBroken) {
		t.Errorf("the causes are not in %v", err)
	}
	var failure *bus.HandlerError
	if !errors.As(err, &failure) || failure.Topic != "numbers" || failure.Subscriber != "refuser" {
		t.Errorf("got %+v", failure)
	}
	var panicked *bus.PanicError
	if !errors.As(err, &panicked) ||
		!strings.Contains(string(panicked.Stack), "TestFailuresAreNamedAndHarmNoOther") {
		t.Errorf("got %+v", panicked)
	}
	if !handled {
		t.Error("the others' failures kept one from handling")
	}
}

type traceKey struct{}

func TestPublishersContextReachesHandlers(t *testing.T) {
	t.Parallel()
	b := bus.New(bus.Options{})
	var got any
	bus.Subscribe(b, numbers, "reader", func(ctx context.Context, _ bus.Message[int]) error {
		got = ctx.Value(traceKey{})
		return nil
	})
	if err := bus.Publish(context.WithValue(t.Context(), traceKey{}, "trace"), b, numbers, 1); err != nil {
		t.Fatal(err)
	}
	if got != "trace" {
		t.Errorf("got %v", got)
	}
}

func TestPublishReturnsWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := bus.New(bus.Options{})
		release := make(chan struct{})
		bus.Subscribe(b, numbers, "stuck", deaf(release))
		bus.Subscribe(b, numbers, "quick", sleeper(time.Second))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()

		began := time.Now()
		err := bus.Publish(ctx, b, numbers, 1)
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("took %s", took)
		}
		want := "subscriber stuck has not handled numbers: it still runs: context deadline exceeded"
		if fmt.Sprint(err) != want || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		close(release)
	})
}

func TestAnEndedContextCallsNobody(t *testing.T) {
	t.Parallel()
	b := bus.New(bus.Options{})
	called := false
	bus.Subscribe(b, numbers, "reader", func(context.Context, bus.Message[int]) error {
		called = true
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := bus.Publish(ctx, b, numbers, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := b.Close(t.Context()); err != nil { // waits for a call that had begun
		t.Error(err)
	}
	if called {
		t.Error("the handler was called")
	}
}

func TestAStuckSubscriberIsRefusedFurtherMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var refused []string // one publisher: no lock
		b := bus.New(bus.Options{
			MaxRunning: 2,
			Refused:    func(s *bus.Subscription) { refused = append(refused, s.Topic()+" "+s.Name()) },
		})
		release := make(chan struct{})
		var stuck, healthy atomic.Int32
		bus.Subscribe(b, numbers, "stuck", func(ctx context.Context, m bus.Message[int]) error {
			stuck.Add(1)
			return deaf(release)(ctx, m)
		})
		bus.Subscribe(b, numbers, "healthy", func(context.Context, bus.Message[int]) error {
			healthy.Add(1)
			return nil
		})
		publish := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return bus.Publish(ctx, b, numbers, 1)
		}
		for range 2 {
			if err := publish(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want a wait until the end", err)
			}
		}
		for range 3 {
			began := time.Now()
			if err := publish(); !errors.Is(err, bus.ErrBusy) || time.Since(began) != 0 {
				t.Errorf("got %v after %s, want a refusal at once", err, time.Since(began))
			}
		}
		if stuck.Load() != 2 || healthy.Load() != 5 {
			t.Errorf("the stuck one was called %d times, the healthy one %d times", stuck.Load(), healthy.Load())
		}
		if diff := cmp.Diff(slices.Repeat([]string{"numbers stuck"}, 3), refused); diff != "" {
			t.Error(diff)
		}

		close(release)
		synctest.Wait()
		if err := publish(); err != nil {
			t.Errorf("after it came unstuck: %v", err)
		}
	})
}

func TestRecursionEndsAtMaxRunning(t *testing.T) {
	t.Parallel()
	b := bus.New(bus.Options{MaxRunning: 3})
	deepest := 0
	bus.Subscribe(b, numbers, "recursive", func(ctx context.Context, m bus.Message[int]) error {
		deepest = m.Payload
		return bus.Publish(ctx, b, numbers, m.Payload+1)
	})
	if err := bus.Publish(t.Context(), b, numbers, 1); !errors.Is(err, bus.ErrBusy) || deepest != 3 {
		t.Errorf("got %v at depth %d", err, deepest)
	}
}

func TestPublishWithoutSubscribersDoesNotAllocate(t *testing.T) {
	b := bus.New(bus.Options{})
	bus.Subscribe(b, bus.PipelineFinished, "gone", bus.OnlyPayload(
		func(context.Context, bus.PipelineResult) error { return nil })).Unsubscribe()
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		_ = bus.Publish(ctx, b, bus.PipelineFinished, bus.PipelineResult{Status: "passed"})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkPublish(b *testing.B) {
	for _, subscribers := range []int{0, 1, 8} {
		b.Run(fmt.Sprintf("subscribers=%d", subscribers), func(b *testing.B) {
			events := bus.New(bus.Options{})
			for range subscribers {
				bus.Subscribe(events, numbers, "reader", func(context.Context, bus.Message[int]) error { return nil })
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := bus.Publish(b.Context(), events, numbers, 1); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
