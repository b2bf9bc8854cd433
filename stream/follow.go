package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

var (
	// ErrEndOfBuildEventStream is returned after the last event of a build whose
	// stream has ended.
	ErrEndOfBuildEventStream = errors.New("the build's event stream has ended")
	// ErrClosed is what a closed EventSource returns, and a closed Follower.
	ErrClosed = errors.New("the event source is closed")
)

// GapError says that events were dropped by retention before they were read.
type GapError struct {
	// First is the seq of the first event that there is, or that there is going to
	// be; in the whole stream the position.
	First int64
}

func (e *GapError) Error() string {
	return fmt.Sprintf("older events were dropped by retention; the first there is is %d", e.First)
}

// Bus is where a Follower gets its hints.
type Bus interface {
	Subscribe(queueSize int) (*Subscription, error)
}

// FollowerOptions is what a Follower works with.
type FollowerOptions struct {
	Builds BuildStore
	Stream StreamStore
	// Bus hints at what was appended; with nil, events come up to a second later.
	Bus Bus
	// QueueSize is how many hints may wait; 0 is 10,000. Beyond, all feeds are
	// looked at instead.
	QueueSize int
	// Logger takes what happens in the background; nil is none.
	Logger *slog.Logger
	// Readers is how many reads there are at a time; 0 is 4.
	Readers int
	// Memory bounds the recent events that are kept for watchers, in bytes; 0 is
	// 64 MiB. Near it, watchers share less and read more.
	Memory  int64
	Metrics FollowerMetrics
}

// FollowerMetrics are told what happens. A nil one is not called. They are called
// from several goroutines and must not block.
type FollowerMetrics struct {
	// Read: a read of events ended.
	Read func(took time.Duration, events int, err error)
	// Lag: an event that somebody watches came in this long after it was recorded.
	Lag func(lag time.Duration)
}

// FollowerStats is what a Follower holds at a moment.
type FollowerStats struct {
	// Watchers is the number of open sources, Feeds that of the builds they
	// watch, and one for the whole stream.
	Watchers, Feeds int
	// WindowBytes and BatchBytes are what is kept for them: recent events that
	// they share, and what each reads to catch up.
	WindowBytes, BatchBytes int64
}

const (
	headEvery   = time.Second
	readTimeout = 10 * time.Second
)

// Follower lets any number of watchers follow builds and the whole stream. All
// its methods may be called from any goroutine.
type Follower struct {
	o       FollowerOptions
	log     *slog.Logger
	readers *readers
	memory  memory
	hints   *Subscription // nil without a bus
	lost    chan struct{} // hints may have been lost

	cancel     context.CancelFunc
	goroutines sync.WaitGroup

	mu     sync.Mutex
	closed bool
	feeds  map[string]*feed // by build; "" is the whole stream
}

// NewFollower returns a Follower, which works until it is closed.
func NewFollower(o FollowerOptions) *Follower {
	o.Readers = cmp.Or(o.Readers, 4)
	f := &Follower{
		o:       o,
		log:     cmp.Or(o.Logger, slog.New(slog.DiscardHandler)),
		readers: newReaders(),
		memory:  memory{limit: cmp.Or(o.Memory, defaultMemory)},
		lost:    make(chan struct{}, 1),
		feeds:   make(map[string]*feed),
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	for i := range o.Readers {
		f.goroutines.Go(func() { f.readers.work(ctx, line(i%2)) })
	}
	if o.Bus != nil {
		hints, err := o.Bus.Subscribe(cmp.Or(o.QueueSize, 10_000))
		if err != nil {
			f.log.Warn("following without hints: events come up to a second late", "error", err)
		} else {
			f.hints = hints
			f.goroutines.Go(f.takeHints)
		}
	}
	f.goroutines.Go(func() { f.checkHead(ctx) })
	return f
}

// Build opens a build's events from a seq on; 0 is all of them. A build of which
// nothing was recorded yet is waited for.
func (f *Follower) Build(buildID string, from int64) (*EventSource, error) {
	if buildID == "" {
		return nil, errors.New("follow a build: its id is empty")
	}
	return f.open(&EventSource{next: max(from, 0), opened: true}, buildID)
}

// Stream opens the whole stream's events with positions above after; 0 is all of
// them. It never ends by itself.
func (f *Follower) Stream(q Filter, after int64) (*EventSource, error) {
	return f.open(&EventSource{next: max(after, 0) + 1, filter: &q}, "")
}

func (f *Follower) open(s *EventSource, buildID string) (*EventSource, error) {
	s.wake = make(chan struct{}, 1)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, ErrClosed
	}
	s.feed = f.feeds[buildID]
	if s.feed == nil {
		// Listen, then read, then wait: so nothing falls in between.
		s.feed = newFeed(f, buildID)
		f.feeds[buildID] = s.feed
		if f.hints != nil {
			if err := f.hints.Listen(s.feed.channel()); err != nil {
				f.log.Warn("following without hints: events come up to a second late", "error", err)
			}
		}
	}
	s.feed.join(s)
	f.readers.request(s.feed)
	return s, nil
}

// leave drops a source, and its feed if it was the last.
func (f *Follower) leave(s *EventSource) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if left := s.feed.leave(s); left > 0 {
		return
	}
	delete(f.feeds, s.feed.build)
	if f.hints != nil {
		f.hints.Unlisten(s.feed.channel())
	}
}

// Stats returns what the Follower holds now.
func (f *Follower) Stats() FollowerStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	stats := FollowerStats{
		Feeds:       len(f.feeds),
		WindowBytes: f.memory.windows.Load(),
		BatchBytes:  f.memory.batches.Load(),
	}
	for _, fd := range f.feeds {
		stats.Watchers += fd.watchers()
	}
	return stats
}

// Close ends every source with ErrClosed, and returns when nothing runs any more.
// It may be called more than once.
func (f *Follower) Close() error {
	f.mu.Lock()
	f.closed = true
	var sources []*EventSource
	for _, fd := range f.feeds {
		sources = append(sources, fd.list()...)
	}
	f.mu.Unlock()
	for _, s := range sources {
		s.Close()
	}
	f.cancel()
	f.readers.close()
	if f.hints != nil {
		f.hints.Close()
	}
	f.goroutines.Wait()
	return nil
}

// read reads events of a build, or those of the whole stream that a filter
// selects, from a seq or a position on.
func (f *Follower) read(ctx context.Context, build string, q *Filter, from int64, limit int) (events []Event, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	began := time.Now()
	if build != "" {
		if events, err = f.o.Builds.ReadBuild(ctx, build, from, limit); err != nil {
			err = fmt.Errorf("read the events of build %s from %d: %w", build, from, err)
		}
	} else {
		if events, err = f.o.Stream.ReadStream(ctx, *q, from-1, limit); err != nil {
			err = fmt.Errorf("read the events after position %d: %w", from-1, err)
		}
	}
	if f.o.Metrics.Read != nil {
		f.o.Metrics.Read(time.Since(began), len(events), err)
	}
	return events, err
}
