// Package bus carries typed events between parts of one process: a Topic names
// an event and the type of its payload, Publish tells all who subscribe to it.
// It is how observers hear what happens without anybody knowing them. Those who
// embed the server subscribe to its topics (topics.go), and declare and publish
// their own.
//
// Loss. Nothing is kept. A message reaches who is subscribed when it is
// published; nobody gets it later, and what was not handled when the process
// ends is lost. A bus is for what may be lost with the process, such as a
// metric. What must happen is a reactor of the server, and what must be read
// from where one stopped is a cursor over the event stream.
//
// Order. The subscribers of a message run in parallel, each in a goroutine of
// its own, in no order. Publish returns when all of them have, so who publishes
// one message after another has each handled before the next. Messages that are
// published at the same time are handled at the same time, also by the same
// subscriber.
//
// Failure. What a handler returns, or panics with, is returned by Publish as a
// HandlerError and harms no other handler. Nothing is tried again.
//
// Time. Publish waits until its context ends, and not longer. A handler that
// still runs then goes on, under that ended context, and counts against
// Options.MaxRunning until it returns: one that never does costs no more than
// that many goroutines. Close waits for those that are left.
//
// Publish, Subscribe and Unsubscribe may be called from any goroutine, and from
// within handlers and hooks: no lock is held while these run. A payload is
// handed to all handlers as it is. What it points to belongs to all of them, and
// nobody may change it, the publisher included.
package bus
