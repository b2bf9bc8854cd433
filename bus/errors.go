package bus

import (
	"errors"
	"fmt"
)

var (
	// ErrBusy is why a subscriber is not given a message: it handles
	// Options.MaxRunning already.
	ErrBusy = errors.New("it still handles as many messages as it may at once; see what its handler waits for")
	// ErrClosed is what a closed bus answers.
	ErrClosed = errors.New("the bus is closed")

	errExited = errors.New("its handler ended its goroutine without returning")
)

// HandlerError says which subscriber has not handled a message, and why.
type HandlerError struct {
	Topic, Subscriber string
	// Err is what the handler returned, a *PanicError, ErrBusy, ErrClosed, or
	// for a handler that was still running the context's error.
	Err error
}

func (e *HandlerError) Error() string {
	return fmt.Sprintf("subscriber %s has not handled %s: %v", e.Subscriber, e.Topic, e.Err)
}

func (e *HandlerError) Unwrap() error { return e.Err }

// PanicError is the panic of a handler.
type PanicError struct {
	// Value is what it panicked with.
	Value any
	// Stack is the stack of its goroutine then, as text.
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap returns the value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
