package stream

import (
	"context"
	"hash/maphash"
	mathrand "math/rand/v2"
	"slices"
	"time"
)

// send sends what the outbox holds until ctx ends, and says goodbye then.
func (l *link) send(ctx context.Context) {
	refresh := time.NewTicker(refreshEvery / refreshSlots)
	defer refresh.Stop()
	for failures := 0; ; {
		select {
		case <-ctx.Done():
			l.sayGoodbye()
			return
		case <-refresh.C:
			l.refresh()
			continue
		case <-l.wake:
		}
		err := l.sendOutbox(ctx)
		switch {
		case ctx.Err() != nil:
			continue
		case err == nil && failures > 0:
			l.bus.logger.Info("notifications reach the other replicas again")
			failures = 0
		case err != nil && failures == 0:
			l.bus.logger.Warn("notifications do not reach the other replicas, whose readers find what is new a little later; trying again", "error", err)
			failures++
		case err != nil:
			failures++
		}
		waitFor(ctx, max(gatherFor, retryDelay(failures)))
	}
}

// sendOutbox sends what waits. What could not be sent waits on, together with
// what came meanwhile.
func (l *link) sendOutbox(ctx context.Context) error {
	l.bus.mu.Lock()
	box := l.outbox
	l.outbox = outbox{}
	l.bus.mu.Unlock()
	if box.empty() {
		return nil
	}
	payloads, tooLong := box.payloads(l.id)
	err := l.sendPayloads(ctx, payloads)
	l.bus.mu.Lock()
	defer l.bus.mu.Unlock()
	l.bus.metrics.lost(tooLong)
	if err != nil {
		l.bus.metrics.lost(l.outbox.putBack(box))
		l.wakeSender()
	}
	return err
}

func (l *link) sendPayloads(ctx context.Context, payloads []string) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	for statement := range slices.Chunk(payloads, maxStatement) {
		err := l.transport.Send(ctx, statement)
		l.bus.metrics.sent(err)
		if err != nil {
			return err
		}
	}
	return nil
}

// sayGoodbye sends the last hints, and that this replica's markers are void.
func (l *link) sayGoodbye() {
	l.bus.mu.Lock()
	last := outbox{all: l.outbox.all, hints: l.outbox.hints}
	l.bus.mu.Unlock()
	payloads, _ := last.payloads(l.id)
	payloads = appendMessage(payloads, l.id, messageBye)
	ctx, cancel := context.WithTimeout(context.Background(), goodbyeTimeout)
	defer cancel()
	if err := l.sendPayloads(ctx, payloads); err != nil {
		l.bus.logger.Info("the other replicas were not told that this one stops; they find out by themselves", "error", err)
	}
}

// refresh announces again the channels of one slot, and lets others' markers
// age. Not while this replica may miss theirs: it says hello afterwards.
func (l *link) refresh() {
	l.bus.mu.Lock()
	defer l.bus.mu.Unlock()
	if !l.joined {
		return
	}
	l.slot = (l.slot + 1) % refreshSlots
	if l.slot == 0 {
		l.markers.nextRound()
	}
	for channel := range l.bus.listeners {
		if maphash.String(l.slots, channel)%refreshSlots == uint64(l.slot) {
			l.announce(channel, true)
		}
	}
}

// retryDelay is how long to wait after so many failures: nothing, then from
// 100 ms on doubling, less up to a half at random.
func retryDelay(failures int) time.Duration {
	if failures == 0 {
		return 0
	}
	limit := min(100*time.Millisecond<<min(failures-1, 16), maxRetryDelay)
	return limit/2 + mathrand.N(limit/2)
}

// waitFor waits, or returns when ctx ends.
func waitFor(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
