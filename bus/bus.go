package bus

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// DefaultMaxRunning is MaxRunning unless Options say otherwise.
const DefaultMaxRunning = 16

// Options of a bus. The hooks are for metrics. They are called from many
// goroutines at once, delay who publishes, and must not panic.
type Options struct {
	// MaxRunning is how many messages one subscription handles at once; 0 is
	// DefaultMaxRunning. Further ones it is not given: Publish returns ErrBusy
	// for it. It should be more than are ever published at once.
	MaxRunning int
	// Started is called before a handler is. What was started and is not
	// handled is running, or stuck.
	Started func(*Subscription)
	// Handled is called when a handler has returned, also when Publish no
	// longer waited for it, with how long it took and what it returned. A
	// panic is a *PanicError.
	Handled func(*Subscription, time.Duration, error)
	// Refused is called when a subscription is not given a message because it
	// handles MaxRunning already.
	Refused func(*Subscription)
}

// Bus brings what is published on a topic to those who subscribed to it. New
// makes one.
type Bus struct {
	options Options
	idle    chan struct{} // closed once the bus is closed and nothing runs

	mu      sync.Mutex
	closed  bool
	topics  map[string]anyTopic
	running map[*Subscription]int // calls under way; no entry for none
}

// New returns a bus without subscriptions.
func New(o Options) *Bus {
	o.MaxRunning = cmp.Or(o.MaxRunning, DefaultMaxRunning)
	if o.Started == nil {
		o.Started = func(*Subscription) {}
	}
	if o.Handled == nil {
		o.Handled = func(*Subscription, time.Duration, error) {}
	}
	if o.Refused == nil {
		o.Refused = func(*Subscription) {}
	}
	return &Bus{
		options: o,
		idle:    make(chan struct{}),
		topics:  make(map[string]anyTopic),
		running: make(map[*Subscription]int),
	}
}

// Close ends publishing, and waits until all handlers have returned or ctx has
// ended. Its error then names the subscribers that still run. A handler must not
// call it: it would wait for itself.
func (b *Bus) Close(ctx context.Context) error {
	b.mu.Lock()
	if !b.closed {
		b.closed = true
		b.checkIdle()
	}
	b.mu.Unlock()
	select {
	case <-b.idle:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.running) == 0 {
		return nil
	}
	var names []string
	for s := range maps.Keys(b.running) {
		names = append(names, fmt.Sprintf("%s (%s)", s.name, s.topic))
	}
	slices.Sort(names)
	return fmt.Errorf("close the bus: still running: %s: %w", strings.Join(names, ", "), ctx.Err())
}

// begin counts a call of s, if there may be one.
func (b *Bus) begin(s *Subscription) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return ErrClosed
	}
	if b.running[s] >= b.options.MaxRunning {
		return ErrBusy
	}
	b.running[s]++
	return nil
}

// end says that a call that has begun is over.
func (b *Bus) end(s *Subscription) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running[s]--; b.running[s] == 0 {
		delete(b.running, s)
	}
	b.checkIdle()
}

func (b *Bus) checkIdle() {
	if b.closed && len(b.running) == 0 {
		close(b.idle)
	}
}
