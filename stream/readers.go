package stream

import (
	"context"
	"sync"
	"time"
)

// Where many reads of what is fresh wait, one that ran a moment ago is put off a
// little: more was appended by then, and fewer reads bring it all. A read costs
// the store about as much as an append.
const (
	// crowd is how many reads are many.
	crowd = 16
	// putOff bounds how long a reader waits for one read, and moment how long ago
	// the one before may have ended.
	putOff = 4 * time.Millisecond
	moment = 100 * time.Millisecond
)

// line is one of the two lines in which reads wait. Neither can starve the other:
// half of the readers look into one first, half into the other.
type line int

const (
	freshLine   line = iota // what was just appended
	backlogLine             // what a watcher has yet to catch up on
)

// turn says where a read stands.
type turn uint8

const (
	turnNone turn = iota
	turnWaiting
	turnRunning
	turnAgain // running, and wanted again
)

// ticket is a read's place among the others. It belongs to its readers.
type ticket struct {
	turn  turn
	ended time.Time // its latest run
}

// readTask is work for a reader.
type readTask interface {
	run(ctx context.Context)
	line() line
	place() *ticket
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
	switch t := x.place(); t.turn {
	case turnNone:
		r.enqueue(x)
	case turnRunning:
		t.turn = turnAgain
	case turnWaiting, turnAgain: // is going to run
	}
}

func (r *readers) enqueue(x readTask) {
	x.place().turn = turnWaiting
	r.lines[x.line()] = append(r.lines[x.line()], x)
	r.some.Signal()
}

// work runs reads, those of one line first, until close.
func (r *readers) work(ctx context.Context, first line) {
	for {
		x, wait := r.take(first)
		if x == nil {
			return
		}
		if wait > 0 {
			waitFor(ctx, wait)
		}
		x.run(ctx)
		r.done(x)
	}
}

// take returns the next read and how long to put it off, or nil after close.
func (r *readers) take(first line) (readTask, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.closed {
		for _, l := range [...]line{first, 1 - first} {
			if len(r.lines[l]) == 0 {
				continue
			}
			waiting := len(r.lines[l])
			x := r.lines[l][0]
			r.lines[l][0] = nil
			r.lines[l] = r.lines[l][1:]
			t := x.place()
			t.turn = turnRunning
			if l != freshLine || waiting < crowd {
				return x, 0
			}
			return x, min(putOff, moment-time.Since(t.ended))
		}
		r.some.Wait()
	}
	return nil, 0
}

func (r *readers) done(x readTask) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := x.place()
	t.ended = time.Now()
	if t.turn == turnAgain {
		r.enqueue(x)
		return
	}
	t.turn = turnNone
}

// close lets every reader finish what it runs and end.
func (r *readers) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.lines = [2][]readTask{}
	r.some.Broadcast()
}
