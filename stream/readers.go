package stream

import (
	"context"
	"sync"
)

// line is one of the two lines in which reads wait. Neither can starve the other:
// half of the readers look into one first, half into the other.
type line int

const (
	freshLine   line = iota // what was just appended
	backlogLine             // what a watcher has yet to catch up on
)

// turn says where a read stands. It belongs to its readers.
type turn uint8

const (
	turnNone turn = iota
	turnWaiting
	turnRunning
	turnAgain // running, and wanted again
)

// readTask is work for a reader.
type readTask interface {
	run(ctx context.Context)
	line() line
	turn() *turn
}

// readers are a few goroutines that read for any number of feeds and sources. A
// read waits in line at most once and never runs twice at a time; what is
// requested while it runs makes it run once more. So the lines are no longer than
// there are feeds and sources, and these need no goroutine of their own.
type readers struct {
	mu     sync.Mutex
	some   sync.Cond
	lines  [2][]readTask
	closed bool
}

func newReaders() *readers {
	r := &readers{}
	r.some.L = &r.mu
	return r
}

// request has x run soon, and after whatever was before the request.
func (r *readers) request(x readTask) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch t := x.turn(); *t {
	case turnNone:
		r.enqueue(x)
	case turnRunning:
		*t = turnAgain
	case turnWaiting, turnAgain: // is going to run
	}
}

func (r *readers) enqueue(x readTask) {
	*x.turn() = turnWaiting
	r.lines[x.line()] = append(r.lines[x.line()], x)
	r.some.Signal()
}

// work runs reads, those of one line first, until close.
func (r *readers) work(ctx context.Context, first line) {
	for {
		x, ok := r.take(first)
		if !ok {
			return
		}
		x.run(ctx)
		r.done(x)
	}
}

func (r *readers) take(first line) (readTask, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.closed {
		for _, l := range [...]line{first, 1 - first} {
			if len(r.lines[l]) == 0 {
				continue
			}
			x := r.lines[l][0]
			r.lines[l][0] = nil
			r.lines[l] = r.lines[l][1:]
			*x.turn() = turnRunning
			return x, true
		}
		r.some.Wait()
	}
	return nil, false
}

func (r *readers) done(x readTask) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if *x.turn() == turnAgain {
		r.enqueue(x)
		return
	}
	*x.turn() = turnNone
}

// close lets every reader finish what it runs and end.
func (r *readers) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.lines = [2][]readTask{}
	r.some.Broadcast()
}
