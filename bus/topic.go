package bus

import (
	"context"
	"fmt"
	"reflect"
	"time"
)

// Topic is a name for events whose payload is a T. Topics are declared once, as
// package variables; a bus remembers each name it has seen.
//
// On one bus a name belongs to the payload type that it was first used with.
// With another type, Publish returns an error and Subscribe panics.
type Topic[T any] struct{ name string }

// NewTopic declares a topic.
func NewTopic[T any](name string) Topic[T] { return Topic[T]{name: name} }

// String returns the topic's name.
func (t Topic[T]) String() string { return t.name }

// Message is a payload with where and when it was published.
type Message[T any] struct {
	// Topic is the name of the topic.
	Topic string
	// Time is when Publish was called.
	Time    time.Time
	Payload T
}

// OnlyPayload makes a handler of a function that needs no more of a message
// than its payload.
func OnlyPayload[T any](handle func(context.Context, T) error) func(context.Context, Message[T]) error {
	return func(ctx context.Context, m Message[T]) error { return handle(ctx, m.Payload) }
}

// topic is what a bus knows of a Topic[T].
type topic[T any] struct {
	// subscribers is added to or replaced, and no element is changed: who has
	// read it needs no lock.
	subscribers []subscriber[T]
}

// anyTopic is a *topic[T] of any T.
type anyTopic interface{ payload() reflect.Type }

func (*topic[T]) payload() reflect.Type { return reflect.TypeFor[T]() }

// topicOf returns what b knows of t. The caller holds b.mu.
func topicOf[T any](b *Bus, t Topic[T]) (*topic[T], error) {
	known, used := b.topics[t.name]
	if !used {
		known = &topic[T]{}
		b.topics[t.name] = known
	}
	if known, ok := known.(*topic[T]); ok {
		return known, nil
	}
	return nil, fmt.Errorf("topic %s carries %v on this bus, it cannot carry %v: declare a topic of another name for it",
		t, known.payload(), reflect.TypeFor[T]())
}
