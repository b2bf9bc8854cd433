package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// feedEvents is how many events a feed reads at once.
	feedEvents = windowEvents
	// fullRead is how many bytes a read brings that may have been cut for its size.
	fullRead = 1 << 20
)

// feed is what all watchers of one build share, or all of the whole stream: how
// far it is known, the reads of what is appended, and a window of it.
type feed struct {
	f      *Follower
	build  string // "" is the whole stream
	ticket ticket // its readers'

	mu      sync.Mutex
	sources []*EventSource
	// parked is how many of them have all there is and wait for more.
	parked int
	// learned says that the fields below are known.
	learned bool
	// next is where the feed reads on: the seq after the last event it knows of,
	// or the position.
	next int64
	// expected is what next must reach: events before it were committed.
	expected int64
	// more says that the last read may have been cut.
	more bool
	// begun and ended count the reads. A source believes in an end that was seen
	// by a read which began after it joined.
	begun, ended int64
	// failed says that a read failed and was told; who comes back asks again.
	failed bool
	told   told
	window window
}

// told is what the latest event says that Buildkite sent or that is a status.
type told struct {
	status string // the latest status, "" if unknown
	final  bool   // nothing of Buildkite's came after it, and it is not running
}

// after returns what is told after one more event.
func (t told) after(e *Event) told {
	if e.Type == TypeStatus {
		var data struct {
			Status string `json:"status"`
		}
		// Damaged data tells no status, and ends nothing.
		if err := json.Unmarshal(e.Data, &data); err != nil {
			data.Status = ""
		}
		return told{status: data.Status, final: data.Status != "" && data.Status != "running"}
	}
	if !Ours(e.Type) {
		t.final = false
	}
	return t
}

func seqOf(e *Event) int64      { return e.Seq }
func positionOf(e *Event) int64 { return e.Position }

func newFeed(f *Follower, build string) *feed {
	fd := &feed{f: f, build: build, window: window{memory: &f.memory, key: seqOf}}
	if fd.whole() {
		fd.window.key = positionOf
	}
	return fd
}

func (fd *feed) whole() bool        { return fd.build == "" }
func (fd *feed) key(e *Event) int64 { return fd.window.key(e) }
func (fd *feed) line() line         { return freshLine }
func (fd *feed) place() *ticket     { return &fd.ticket }

func (fd *feed) channel() string {
	if fd.whole() {
		return EventsChannel
	}
	return BuildChannel(fd.build)
}

func (fd *feed) join(s *EventSource) {
	fd.mu.Lock()
	defer fd.mu.Unlock()
	s.index, s.joined = len(fd.sources), fd.begun
	fd.sources = append(fd.sources, s)
}

// leave drops a source and what is kept for it, and returns how many are left.
func (fd *feed) leave(s *EventSource) int {
	fd.mu.Lock()
	defer fd.mu.Unlock()
	last := len(fd.sources) - 1
	fd.sources[last].index = s.index
	fd.sources[s.index] = fd.sources[last]
	fd.sources[last] = nil
	fd.sources = fd.sources[:last]
	if s.parked {
		fd.parked--
	}
	s.fetched, s.current = nil, 0
	s.hold(-s.held)
	fd.tidy()
	return last
}

func (fd *feed) watchers() int {
	fd.mu.Lock()
	defer fd.mu.Unlock()
	return len(fd.sources)
}

func (fd *feed) list() []*EventSource {
	fd.mu.Lock()
	defer fd.mu.Unlock()
	return slices.Clone(fd.sources)
}

// park notes that a source has all there is, until wakeAll. Under mu.
func (fd *feed) park(s *EventSource) {
	if !s.parked {
		s.parked = true
		fd.parked++
	}
	fd.tidy()
	if fd.failed {
		fd.failed = false
		fd.f.readers.request(fd)
	}
}

// tidy empties the window when nobody has to take anything from it. Under mu.
func (fd *feed) tidy() {
	if fd.parked == len(fd.sources) {
		fd.window.clear(fd.next)
	}
}

// wakeAll has the parked sources look again, with an error if there is one.
// Under mu.
func (fd *feed) wakeAll(err error) {
	if fd.parked == 0 {
		return
	}
	fd.parked = 0
	for _, s := range fd.sources {
		if s.parked {
			s.parked, s.err = false, err
			s.rouse()
		}
	}
}

// expect has the feed read until it reaches next, which is known to be stored.
func (fd *feed) expect(next int64) {
	fd.mu.Lock()
	defer fd.mu.Unlock()
	fd.expected = max(fd.expected, next)
	if fd.expected > fd.next {
		fd.f.readers.request(fd)
	}
}

// final says that the build's stream has ended, for a source that joined when so
// many reads had begun. Under mu.
func (fd *feed) final(joined int64) bool {
	return fd.told.final && !fd.more && fd.expected <= fd.next && fd.ended > joined
}

// run reads what follows, once for all who watch.
func (fd *feed) run(ctx context.Context) {
	fd.mu.Lock()
	watched, learned, from, expected := len(fd.sources) > 0, fd.learned, fd.next, fd.expected
	fd.begun++
	number := fd.begun
	fd.mu.Unlock()
	if !watched {
		return
	}
	var events []Event
	var err error
	if learned {
		events, err = fd.f.read(ctx, fd.build, &Filter{}, from, feedEvents)
	} else {
		err = fd.learn(ctx)
	}
	fd.mu.Lock()
	defer fd.mu.Unlock()
	if err != nil {
		fd.failed = true
		fd.wakeAll(err)
		return
	}
	fd.failed, fd.ended = false, number
	if learned {
		fd.advance(events, expected)
	}
	if fd.more || fd.expected > fd.next {
		fd.f.readers.request(fd)
	} else if fd.told.final {
		fd.wakeAll(nil)
	}
	fd.tidy() // nobody may be left
}

// learn finds out where the feed begins: behind all that is stored. What comes
// before is read by each source that wants it.
func (fd *feed) learn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var next int64
	var latest told
	if fd.whole() {
		head, err := fd.f.o.Stream.Head(ctx)
		if err != nil {
			return fmt.Errorf("read the stream's head: %w", err)
		}
		next = head + 1
	} else {
		nexts, err := fd.f.o.Builds.NextSeqs(ctx, []string{fd.build})
		if err != nil {
			return fmt.Errorf("read the next seq of build %s: %w", fd.build, err)
		}
		if next = nexts[fd.build]; next > 0 {
			e, err := fd.f.o.Builds.LastTold(ctx, fd.build)
			if err != nil {
				return fmt.Errorf("read how build %s stands: %w", fd.build, err)
			}
			if e.Type != "" {
				// It may have been recorded after next was read.
				next, latest = max(next, e.Seq+1), told{}.after(&e)
			}
		}
	}
	fd.mu.Lock()
	defer fd.mu.Unlock()
	fd.learned, fd.next, fd.told = true, next, latest
	fd.window.clear(next)
	fd.wakeAll(nil)
	return nil
}

// advance takes what was read from next on, when events before expected were
// known to be committed. Under mu.
func (fd *feed) advance(events []Event, expected int64) {
	fd.more = len(events) == feedEvents || size(events) >= fullRead
	if len(events) == 0 {
		if expected > fd.next {
			// They were dropped. Whoever waits for them reads the store, and hears so.
			fd.next = expected
			fd.window.clear(expected)
			fd.wakeAll(nil)
		}
		return
	}
	hole := !fd.whole() && events[0].Seq > fd.next
	for i := range events {
		if !fd.whole() {
			fd.told = fd.told.after(&events[i])
		}
		if fd.f.o.Metrics.Lag != nil {
			fd.f.o.Metrics.Lag(time.Since(events[i].Time))
		}
	}
	fd.next = fd.key(&events[len(events)-1]) + 1
	fd.window.push(events, hole)
	fd.wakeAll(nil)
}
