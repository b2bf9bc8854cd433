package bus

import (
	"context"
	"slices"
	"sync/atomic"
)

// Subscription is one subscriber's to one topic.
type Subscription struct {
	bus         *Bus
	topic, name string
	remove      func() // from the topic; with bus.mu held
	gone        atomic.Bool
}

type subscriber[T any] struct {
	*Subscription
	handle func(context.Context, Message[T]) error
}

// Subscribe has handle called for each message that is published on t from now
// on, until Unsubscribe. The name says in errors and metrics who subscribed. The
// context that handle gets is the publisher's: it should return when that ends.
func Subscribe[T any](b *Bus, t Topic[T], name string, handle func(context.Context, Message[T]) error) *Subscription {
	b.mu.Lock()
	defer b.mu.Unlock()
	top, err := topicOf(b, t)
	if err != nil {
		panic("bus: " + err.Error())
	}
	s := &Subscription{bus: b, topic: t.name, name: name}
	s.remove = func() {
		top.subscribers = slices.DeleteFunc(slices.Clone(top.subscribers),
			func(other subscriber[T]) bool { return other.Subscription == s })
	}
	top.subscribers = append(top.subscribers, subscriber[T]{Subscription: s, handle: handle})
	return s
}

// Topic returns the name of the topic.
func (s *Subscription) Topic() string { return s.topic }

// Name returns the subscriber's name.
func (s *Subscription) Name() string { return s.name }

// Unsubscribe ends the subscription: no call of its handler begins any more. It
// does not wait for those that have begun. It may be called again.
func (s *Subscription) Unsubscribe() {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	s.gone.Store(true)
	s.remove()
}

// Wanted says whether anybody subscribes to t: whether a payload that is costly
// to make is worth it.
func Wanted[T any](b *Bus, t Topic[T]) bool {
	subscribers, err := subscribersOf(b, t)
	return err == nil && len(subscribers) > 0
}
