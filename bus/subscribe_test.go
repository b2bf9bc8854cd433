package bus_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/build-tracker/build-tracker/bus"
)

// counter counts its calls.
func counter(n *atomic.Int32) handler {
	return func(context.Context, bus.Message[int]) error {
		n.Add(1)
		return nil
	}
}

func publish(t *testing.T, b *bus.Bus) {
	t.Helper()
	if err := bus.Publish(t.Context(), b, numbers, 1); err != nil {
		t.Error(err)
	}
}

func TestUnsubscribeEndsCalls(t *testing.T) {
	t.Parallel()
	b := bus.New(bus.Options{})
	var left, right atomic.Int32
	s := bus.Subscribe(b, numbers, "left", counter(&left))
	bus.Subscribe(b, numbers, "right", counter(&right))
	publish(t, b)
	s.Unsubscribe()
	s.Unsubscribe() // again is nothing
	publish(t, b)
	if left.Load() != 1 || right.Load() != 2 {
		t.Errorf("calls: %d and %d, want 1 and 2", left.Load(), right.Load())
	}
}

func TestUnsubscribeFromWithinTheHandler(t *testing.T) {
	t.Parallel()
	b := bus.New(bus.Options{})
	var calls atomic.Int32
	var s *bus.Subscription
	s = bus.Subscribe(b, numbers, "once", func(context.Context, bus.Message[int]) error {
		calls.Add(1)
		s.Unsubscribe()
		return nil
	})
	publish(t, b)
	publish(t, b)
	if calls.Load() != 1 {
		t.Errorf("%d calls", calls.Load())
	}
}

// whileOnItsWay publishes a message that goes to a subscriber "second", and does
// something when it is on its way to that one and has not reached it: when a
// first subscriber has been refused.
func whileOnItsWay(t *testing.T, second handler, do func(b *bus.Bus, second *bus.Subscription)) error {
	var b *bus.Bus
	var s *bus.Subscription
	b = bus.New(bus.Options{MaxRunning: 1, Refused: func(*bus.Subscription) { do(b, s) }})
	release := make(chan struct{})
	defer close(release)
	bus.Subscribe(b, numbers, "first", deaf(release))
	go func() { _ = bus.Publish(t.Context(), b, numbers, 1) }()
	synctest.Wait()
	s = bus.Subscribe(b, numbers, "second", second)
	return bus.Publish(t.Context(), b, numbers, 2)
}

func TestUnsubscribeWhileAMessageIsOnItsWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		err := whileOnItsWay(t, counter(&calls), func(_ *bus.Bus, second *bus.Subscription) { second.Unsubscribe() })
		if calls.Load() != 0 {
			t.Errorf("%d calls after Unsubscribe", calls.Load())
		}
		if !errors.Is(err, bus.ErrBusy) || strings.Contains(err.Error(), "second") {
			t.Errorf("got %v, want the first one's error alone", err)
		}
	})
}

func TestCloseWhileAMessageIsOnItsWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		err := whileOnItsWay(t, counter(&calls), func(b *bus.Bus, _ *bus.Subscription) {
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			if err := b.Close(ended); !errors.Is(err, context.Canceled) {
				t.Errorf("Close returned %v while the first one runs", err)
			}
		})
		if !errors.Is(err, bus.ErrClosed) || calls.Load() != 0 {
			t.Errorf("got %v after %d calls", err, calls.Load())
		}
	})
}

func TestUnsubscribeDoesNotWaitForACallThatRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := bus.New(bus.Options{})
		release := make(chan struct{})
		s := bus.Subscribe(b, numbers, "stuck", deaf(release))
		published := make(chan error, 1)
		go func() { published <- bus.Publish(t.Context(), b, numbers, 1) }()
		synctest.Wait()
		s.Unsubscribe()
		publish(t, b) // reaches nobody
		close(release)
		if err := <-published; err != nil {
			t.Error(err)
		}
	})
}

func TestSubscribeFromWithinAHandlerSeesTheNextMessage(t *testing.T) {
	t.Parallel()
	b := bus.New(bus.Options{})
	var calls atomic.Int32
	var once sync.Once
	bus.Subscribe(b, numbers, "opener", func(context.Context, bus.Message[int]) error {
		once.Do(func() { bus.Subscribe(b, numbers, "late", counter(&calls)) })
		return nil
	})
	publish(t, b)
	if calls.Load() != 0 {
		t.Error("called for a message that was published before it subscribed")
	}
	publish(t, b)
	if calls.Load() != 1 {
		t.Errorf("%d calls", calls.Load())
	}
}

func TestSubscribersComeAndGoWhileOthersPublish(t *testing.T) {
	t.Parallel()
	b := bus.New(bus.Options{})
	var always atomic.Int32
	bus.Subscribe(b, numbers, "always", counter(&always))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 50 {
				publish(t, b)
			}
		})
		all.Go(func() {
			for range 50 {
				var ignored atomic.Int32
				bus.Subscribe(b, numbers, "passing", counter(&ignored)).Unsubscribe()
			}
		})
	}
	all.Wait()
	if always.Load() != 200 {
		t.Errorf("%d calls, want 200", always.Load())
	}
}

func TestANameBelongsToItsFirstPayloadType(t *testing.T) {
	t.Parallel()
	const want = "topic numbers carries int on this bus, it cannot carry string: declare a topic of another name for it"
	texts := bus.NewTopic[string]("numbers")
	b := bus.New(bus.Options{})
	publish(t, b) // nobody hears it, and it is the first use

	err := bus.Publish(t.Context(), b, texts, "one")
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Publish returned %v", err)
	}
	defer func() {
		if v, _ := recover().(string); !strings.Contains(v, want) {
			t.Errorf("Subscribe panicked with %q", v)
		}
		publish(t, b) // the bus is whole
	}()
	bus.Subscribe(b, texts, "reader", bus.OnlyPayload(func(context.Context, string) error { return nil }))
}
