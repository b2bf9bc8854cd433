package notify

import (
	"context"
	"errors"
	"time"
)

// queueTimeout bounds one call to the queue, and loading a build.
const queueTimeout = 2 * time.Second

var errClaimShort = errors.New("the claim could not be extended in time")

// send makes a call that changes the channel, and keeps in mind while it runs
// that nobody knows what came of it.
func (a *attempt) send(ctx context.Context, key gateKey, f func(context.Context) error) error {
	before := a.uncertain
	err := a.call(ctx, key, func(ctx context.Context) error {
		a.uncertain = true
		return f(ctx)
	})
	if errorOutcome(err) != Uncertain {
		a.uncertain = before
	}
	return err
}

// call makes one call to the messenger, under a claim that outlasts it. Errors
// are *Error, or the queue's.
func (a *attempt) call(ctx context.Context, key gateKey, f func(context.Context) error) error {
	gates := a.s.gates
	if wait := gates.enter(key, time.Now()); wait > 0 {
		return &Error{Op: key.method, Outcome: RateLimited, Wait: wait}
	}
	var limited time.Duration
	defer func() { gates.leave(key, limited, time.Now()) }()
	deadline, err := a.extend(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	begun := time.Now()
	if !begun.Before(deadline) { // the process stood still
		return errClaimShort
	}
	err = f(ctx)
	outcome := Outcome("")
	if err != nil {
		e := outcomeOf(err)
		outcome, err = e.Outcome, e
		if outcome == RateLimited {
			limited = max(e.Wait, time.Millisecond)
		}
	}
	if a.s.o.Metrics.Called != nil {
		a.s.o.Metrics.Called(ctx, key.method, outcome, time.Since(begun))
	}
	return err
}

// extend prolongs the claim and returns when a call has to end so that the
// receipt is written before the claim ends. Time spent in the queue counts
// against the claim, which began when it was asked for at the earliest.
func (a *attempt) extend(ctx context.Context) (deadline time.Time, err error) {
	ttl := a.s.o.ClaimTTL
	reserve := ttl / 7 // for the receipt
	for range 2 {
		asked := time.Now()
		if err := a.queue(ctx, func(ctx context.Context) error { return a.s.o.Queue.Extend(ctx, a.n, ttl) }); err != nil {
			return time.Time{}, err
		}
		now := time.Now()
		if deadline = asked.Add(ttl - reserve); deadline.Sub(now) < ttl/2 {
			continue // the queue was slow: a call might be cut off
		}
		if limit := now.Add(callTimeout); limit.Before(deadline) {
			deadline = limit
		}
		return deadline, nil
	}
	return time.Time{}, errClaimShort
}

// queue calls the queue in bounded time, at shutdown too: what was done is
// recorded.
func (a *attempt) queue(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), queueTimeout)
	defer cancel()
	return f(ctx)
}
