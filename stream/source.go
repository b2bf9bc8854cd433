package stream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
)

const (
	// batchEvents and batchBytes are what is aimed at in one read of a source that
	// catches up. The first is smaller: many sources have little to catch up on.
	batchEvents = 4000
	batchBytes  = 1 << 20
	firstBatch  = 128
	// scarceBatch is how many events a source reads when memory is scarce.
	scarceBatch = 16
)

// EventSource is one watcher's way through the events of a build, or of the whole
// stream. One goroutine at a time may call Next; Close and Status may be called
// from any.
type EventSource struct {
	feed   *feed
	filter *Filter       // of the whole stream; nil for a build
	wake   chan struct{} // holds one: look again
	closed atomic.Bool
	ticket ticket // its readers'

	// Next's own.
	next  int64   // the seq or position wanted
	batch []Event // what is delivered first

	// The rest is under feed.mu.

	index  int   // in feed.sources
	joined int64 // the number of reads that the feed had begun
	parked bool  // has all there is and waits for more
	err    error // of a read that was made while it was parked
	ended  bool
	// opened says that it is known whether the stream's retention has dropped what
	// is wanted. For a build the first read tells.
	opened bool
	// fetching says that a batch is being read, from fetchFrom on.
	fetching  bool
	fetchFrom int64
	fetched   *fetched
	mean      int64 // bytes an event of the latest batch took; 0 before the first
	current   int64 // bytes of the batch that is delivered
	held      int64 // bytes of that and of fetched
}

// fetched is what a read of one source brought.
type fetched struct {
	events []Event
	err    error
	bytes  int64
	// known is how far the feed was known before the read: if nothing was found,
	// there is nothing before it.
	known int64
	// dropped says that retention took what was wanted, and known is what is there.
	dropped bool
}

// Next returns the next event. It waits for one until ctx ends; then it returns
// the error of ctx, and nothing is lost.
//
// It returns ErrEndOfBuildEventStream when a build's stream has ended and from then
// on, *GapError once for events that are no longer there, and ErrClosed after
// Close. Any other error is of a read that failed: the next call tries again.
func (s *EventSource) Next(ctx context.Context) (Event, error) {
	for {
		if s.closed.Load() {
			return Event{}, ErrClosed
		}
		if err := ctx.Err(); err != nil {
			return Event{}, err
		}
		if len(s.batch) > 0 {
			return s.deliver()
		}
		e, todo, err := s.advance()
		switch todo {
		case took:
			return e, err
		case lookAgain:
		case mustWait:
			select {
			case <-s.wake:
			case <-ctx.Done():
			}
		}
	}
}

// All returns the events as Next does. It ends where a build's stream ends, and
// yields any other error last.
func (s *EventSource) All(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for {
			e, err := s.Next(ctx)
			if errors.Is(err, ErrEndOfBuildEventStream) || !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// Status returns the build's latest status that is known here, which may be ahead
// of what Next returned. It is the one that ended the stream when Next said so,
// and "" when none is known.
func (s *EventSource) Status() string {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	return s.feed.told.status
}

// Ready says whether there is an event at hand for Next. Only who calls Next may
// call it.
func (s *EventSource) Ready() bool {
	if len(s.batch) > 0 {
		return true
	}
	fd := s.feed
	fd.mu.Lock()
	defer fd.mu.Unlock()
	if s.ended || s.next < fd.window.from {
		return false
	}
	_, ok := fd.window.take(s.next, s.filter)
	return ok
}

// Close ends the source: a Next that waits returns ErrClosed. It may be called
// more than once, and does not wait.
func (s *EventSource) Close() error {
	if !s.closed.Swap(true) {
		s.feed.f.leave(s)
		s.rouse()
	}
	return nil
}

// rouse has a Next that waits look again.
func (s *EventSource) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// deliver returns the batch's next event, unless some before it are missing.
func (s *EventSource) deliver() (Event, error) {
	e := &s.batch[0]
	if s.filter == nil && e.Seq > s.next {
		return Event{}, s.skip(e.Seq)
	}
	s.batch = s.batch[1:]
	s.next = s.feed.key(e) + 1
	return *e, nil
}

// skip goes on at first, since what comes before is no longer there.
func (s *EventSource) skip(first int64) error {
	s.next = first
	return &GapError{First: first}
}

// todo is what Next does after advance.
type todo int

const (
	took todo = iota // return what it returned
	lookAgain
	mustWait
)

// advance returns an event of the window, or takes the batch that was read, or
// sees to it that one will be.
func (s *EventSource) advance() (Event, todo, error) {
	fd := s.feed
	fd.mu.Lock()
	defer fd.mu.Unlock()
	s.hold(-s.current)
	s.batch, s.current = nil, 0
	switch {
	case s.closed.Load():
		return Event{}, took, ErrClosed
	case s.ended:
		return Event{}, took, ErrEndOfBuildEventStream
	case s.fetched != nil:
		return s.accept()
	case s.err != nil:
		err := s.err
		s.err = nil
		return Event{}, took, err
	case s.fetching:
		return Event{}, mustWait, nil
	case !s.opened:
		s.fetch(s.next)
		return Event{}, mustWait, nil
	case !fd.learned:
		fd.park(s)
		return Event{}, mustWait, nil
	case s.next < fd.window.from:
		s.fetch(s.next)
		return Event{}, mustWait, nil
	case s.next < fd.next:
		e, ok := fd.window.take(s.next, s.filter)
		if !ok { // the filter selects none
			s.next = fd.next
			return Event{}, lookAgain, nil
		}
		s.next = fd.key(&e) + 1
		return e, took, nil
	case fd.final(s.joined):
		s.ended = true
		return Event{}, took, ErrEndOfBuildEventStream
	default:
		fd.park(s)
		return Event{}, mustWait, nil
	}
}

// accept takes what was read, and has the next batch read while this one is
// delivered. Under feed.mu.
func (s *EventSource) accept() (Event, todo, error) {
	fd, r := s.feed, s.fetched
	s.fetched = nil
	s.current = r.bytes
	if r.err != nil {
		return Event{}, took, r.err
	}
	s.opened = true
	if len(r.events) == 0 {
		if r.dropped || s.filter == nil && r.known > s.next {
			return Event{}, took, s.skip(r.known)
		}
		s.next = max(s.next, r.known)
		return Event{}, lookAgain, nil
	}
	s.batch = r.events
	s.mean = max(r.bytes/int64(len(r.events)), 1)
	end := fd.key(&r.events[len(r.events)-1]) + 1
	switch {
	case end > fd.next && s.filter == nil:
		// It is ahead of what the feed knows; what that means the feed tells.
		fd.expected = max(fd.expected, end)
		fd.f.readers.request(fd)
	case end < fd.window.from && !fd.f.memory.scarce():
		s.fetch(end)
	}
	return Event{}, lookAgain, nil
}

// hold counts what the source keeps. Under feed.mu.
func (s *EventSource) hold(bytes int64) {
	s.held += bytes
	s.feed.f.memory.batches.Add(bytes)
}

// fetch has a batch read. Under feed.mu.
func (s *EventSource) fetch(from int64) {
	s.fetching, s.fetchFrom = true, from
	s.feed.f.readers.request(s)
}

func (s *EventSource) line() line     { return backlogLine }
func (s *EventSource) place() *ticket { return &s.ticket }

// run reads the batch that fetch asked for.
func (s *EventSource) run(ctx context.Context) {
	fd := s.feed
	fd.mu.Lock()
	fetching, opened, from := s.fetching && !s.closed.Load(), s.opened, s.fetchFrom
	known, limit := fd.next, s.limit()
	fd.mu.Unlock()
	if !fetching {
		return
	}
	r := &fetched{known: known}
	if opened {
		r.events, r.err = fd.f.read(ctx, fd.build, s.filter, from, limit)
		r.bytes = size(r.events)
	} else {
		r.known, r.dropped, r.err = fd.f.firstFrom(ctx, from)
	}
	fd.mu.Lock()
	defer fd.mu.Unlock()
	s.fetching = false
	if s.closed.Load() {
		return // and nothing is kept for it any more
	}
	s.fetched = r
	s.hold(r.bytes)
	s.rouse()
}

// limit is how many events to read at once. Under feed.mu.
func (s *EventSource) limit() int {
	switch {
	case s.feed.f.memory.scarce():
		return scarceBatch
	case s.mean == 0:
		return firstBatch
	default:
		return int(max(1, min(batchEvents, batchBytes/s.mean)))
	}
}

// firstFrom tells whether retention has dropped events of the whole stream from a
// position on, and if so, the position of the first that there is.
func (f *Follower) firstFrom(ctx context.Context, from int64) (first int64, dropped bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	last, err := f.o.Stream.Dropped(ctx)
	if err != nil {
		return 0, false, fmt.Errorf("read what retention has dropped: %w", err)
	}
	if from > last {
		return 0, false, nil
	}
	events, err := f.read(ctx, "", &Filter{}, from, 1)
	if err != nil {
		return 0, false, err
	}
	if len(events) == 0 {
		return last + 1, true, nil
	}
	return events[0].Position, true, nil
}
