package bus

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// Publish calls all who subscribe to t, in parallel, and returns when they have
// returned or ctx has ended. No subscriber is no error, and costs next to
// nothing.
//
// It returns nil if all have handled the payload. Else it returns a joined
// error (errors.Join) with one *HandlerError for each that has not: because its
// handler failed, or still ran when ctx ended, or was not called (ErrBusy,
// ErrClosed). If ctx has ended already, the bus is closed, or the name of the
// topic belongs to another payload type, nobody is called and the error says so.
func Publish[T any](ctx context.Context, b *Bus, t Topic[T], payload T) error {
	subscribers, err := subscribersOf(b, t)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("publish on %s: %w", t, err)
	}
	if len(subscribers) == 0 {
		return nil
	}
	return deliver(ctx, subscribers, Message[T]{Topic: t.name, Time: time.Now(), Payload: payload})
}

func subscribersOf[T any](b *Bus, t Topic[T]) ([]subscriber[T], error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, ErrClosed
	}
	top, err := topicOf(b, t)
	if err != nil {
		return nil, err
	}
	return top.subscribers, nil
}

// result is what came of calling one of several subscribers.
type result struct {
	index int
	err   error
}

func deliver[T any](ctx context.Context, subscribers []subscriber[T], m Message[T]) error {
	results := make(chan result, len(subscribers)) // room for all: nobody who is late waits
	errs := make([]error, len(subscribers))
	running := make([]bool, len(subscribers))
	waiting := 0
	for i, s := range subscribers {
		if errs[i] = s.bus.begin(s.Subscription); errs[i] != nil {
			if errors.Is(errs[i], ErrBusy) {
				s.bus.options.Refused(s.Subscription)
			}
			continue
		}
		running[i] = true
		waiting++
		go func() {
			var err error
			defer func() { results <- result{i, err} }()
			defer s.bus.end(s.Subscription)
			s.call(ctx, m, &err)
		}()
	}
	for ; waiting > 0; waiting-- {
		r, ok := next(ctx, results)
		if !ok {
			break
		}
		errs[r.index], running[r.index] = r.err, false
	}
	for i, err := range errs {
		if running[i] {
			err = fmt.Errorf("it still runs: %w", ctx.Err())
		}
		if err != nil {
			errs[i] = &HandlerError{Topic: m.Topic, Subscriber: subscribers[i].name, Err: err}
		}
	}
	return errors.Join(errs...)
}

// next returns the next result, and false when ctx has ended and there is none
// yet.
func next(ctx context.Context, results <-chan result) (result, bool) {
	select {
	case r := <-results:
		return r, true
	case <-ctx.Done():
	}
	select {
	case r := <-results:
		return r, true
	default:
		return result{}, false
	}
}

// call calls the handler, unless it has unsubscribed meanwhile, and leaves in
// err what came of it. It does not return if the handler ends its goroutine.
func (s subscriber[T]) call(ctx context.Context, m Message[T], err *error) {
	if s.gone.Load() {
		return
	}
	s.bus.options.Started(s.Subscription)
	began := time.Now()
	defer func() {
		if v := recover(); v != nil {
			*err = &PanicError{Value: v, Stack: debug.Stack()}
		}
		s.bus.options.Handled(s.Subscription, time.Since(began), *err)
	}()
	*err = errExited
	*err = s.handle(ctx, m)
}
