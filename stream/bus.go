package stream

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
)

// EventsChannel is notified after every append, whatever the build.
const EventsChannel = "events"

// BuildChannel returns the channel that is notified after an append to a build.
func BuildChannel(buildID string) string { return "build:" + buildID }

// ErrBusClosed is what a closed bus, or a closed subscription, answers.
var ErrBusClosed = errors.New("the notifications bus is closed")

// Notification says that there may be something new on a channel. It is a hint:
// who gets one looks in the store, and who gets none for a while does too.
type Notification struct {
	// Channel that it is about; empty when it is about all of them.
	Channel string
	// Payload is what came with it. A hint brings nothing: what is new lies in
	// the store.
	Payload string
	// Healthy is false when notifications were or may be lost, on any channel:
	// look for what is new on all of them.
	Healthy bool
}

// BusOptions say how a bus works. The zero value is a bus within the process.
type BusOptions struct {
	// Transport joins the buses of all replicas; nil is none.
	Transport Transport
	// Logger takes what happens in the background; nil is none.
	Logger  *slog.Logger
	Metrics BusMetrics
}

// NotificationsBus carries hints to who listens. It never blocks who notifies.
//
// Over a Transport it is one bus for all replicas. Each tells the others by
// markers which channels it listens to, so that a hint goes only where somebody
// waits for it. What a lost connection, a full queue or a dead replica keeps from
// arriving is made up for by looking into the store: at a notification that says
// so, and from time to time.
type NotificationsBus struct {
	logger  *slog.Logger
	metrics BusMetrics
	link    *link // to the other replicas; nil for none

	mu        sync.Mutex
	closed    bool
	listeners map[string]map[*Subscription]struct{} // by channel
	all       map[<-chan Notification]*Subscription // by queue
}

// NewNotificationsBus returns a bus. The caller closes it.
func NewNotificationsBus(o BusOptions) *NotificationsBus {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	b := &NotificationsBus{
		logger:    o.Logger,
		metrics:   o.Metrics,
		listeners: make(map[string]map[*Subscription]struct{}),
		all:       make(map[<-chan Notification]*Subscription),
	}
	if o.Transport != nil {
		b.link = startLink(b, o.Transport)
	}
	return b
}

// Notify hints to all who listen to a channel. Those of this process have it in
// their queue when Notify returns; others get it soon after. It does not wait.
func (b *NotificationsBus) Notify(channel string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deliver(channel)
	if b.link != nil && !b.closed {
		b.link.hint(channel)
	}
}

// deliver puts a hint into the queues of this process. Under mu.
func (b *NotificationsBus) deliver(channel string) {
	for s := range b.listeners[channel] {
		s.push(Notification{Channel: channel, Healthy: true})
	}
}

// deliverAll tells every subscription of this process the same. Under mu.
func (b *NotificationsBus) deliverAll(n Notification) {
	for _, s := range b.all {
		s.push(n)
	}
}

// listening says that a channel got its first listener in this process, or lost
// its last. Under mu.
func (b *NotificationsBus) listening(channel string, listening bool) {
	b.metrics.listening(len(b.listeners))
	if b.link != nil && !b.closed {
		b.link.announce(channel, listening)
	}
}

// Listen returns a queue of one channel's notifications; see Subscribe.
func (b *NotificationsBus) Listen(channel string, queueSize int) (<-chan Notification, error) {
	s, err := b.Subscribe(queueSize)
	if err != nil {
		return nil, err
	}
	if err := s.Listen(channel); err != nil {
		s.Close()
		return nil, err
	}
	return s.C(), nil
}

// Unlisten ends what Listen returned, and closes it.
func (b *NotificationsBus) Unlisten(channel string, c <-chan Notification) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return ErrBusClosed
	}
	s := b.all[c]
	if s == nil {
		return fmt.Errorf("unlisten %q: this queue does not listen", channel)
	}
	if _, ok := s.channels[channel]; !ok {
		return fmt.Errorf("unlisten %q: this queue listens to another channel", channel)
	}
	s.end()
	return nil
}

// Subscribe returns a subscription that listens to nothing yet. Its queue holds
// queueSize notifications, which must be positive. One that finds it full is
// lost; the queue then ends with one that is not Healthy.
func (b *NotificationsBus) Subscribe(queueSize int) (*Subscription, error) {
	if queueSize <= 0 {
		return nil, fmt.Errorf("subscribe: a queue of %d notifications holds none; ask for at least 1", queueSize)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, ErrBusClosed
	}
	s := &Subscription{
		bus:      b,
		queue:    make(chan Notification, queueSize+1),
		channels: make(map[string]struct{}),
	}
	b.all[s.queue] = s
	return s, nil
}

// Close ends every subscription, sends what waits and tells the other replicas
// that this one goes. It takes a few seconds at most, and may be called more than
// once.
func (b *NotificationsBus) Close() error {
	b.mu.Lock()
	b.closed = true
	for _, s := range b.all {
		s.end()
	}
	b.mu.Unlock()
	if b.link != nil {
		b.link.close()
	}
	return nil
}
