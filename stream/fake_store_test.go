package stream_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/build-tracker/build-tracker/stream"
)

// fakeStore keeps events in memory, and fails, delays and drops as it is told.
type fakeStore struct {
	mu      sync.Mutex
	all     []stream.Event // by position
	builds  map[string][]stream.Event
	ever    []stream.Event // with a build, dropped or not
	next    map[string]int64
	head    int64
	dropped int64

	failing map[string]error // by method
	delay   time.Duration    // of every call
	page    int              // of bytes; 0 is without bounds
	calls   map[string]int
}

func newFakeStore() *fakeStore {
	return &fakeStore{
		builds: map[string][]stream.Event{}, next: map[string]int64{},
		failing: map[string]error{}, calls: map[string]int{},
	}
}

// add appends an event to a build, "" for one without, and returns it.
func (s *fakeStore) add(build, typ, data string) stream.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.head++
	e := stream.Event{
		Position: s.head, Organization: "acme", BuildID: build, Type: typ,
		Version: stream.Version, Time: time.Now(), Data: []byte(data),
	}
	if build != "" {
		e.Pipeline, e.Seq = "pipeline of "+build, s.next[build]
		s.next[build]++
		s.builds[build] = append(s.builds[build], e)
		s.ever = append(s.ever, e)
	}
	s.all = append(s.all, e)
	return e
}

// drop forgets a build's events below a seq, as retention does.
func (s *fakeStore) drop(build string, below int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gone := func(e stream.Event) bool {
		if e.BuildID != build || e.Seq >= below {
			return false
		}
		s.dropped = max(s.dropped, e.Position)
		return true
	}
	s.all = slices.DeleteFunc(slices.Clone(s.all), gone)
	s.builds[build] = slices.DeleteFunc(slices.Clone(s.builds[build]), gone)
}

// fail has a method return this error from now on; nil ends it.
func (s *fakeStore) fail(method string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing[method] = err
}

// slow delays every call from now on.
func (s *fakeStore) slow(by time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay = by
}

// count returns how often a method was called.
func (s *fakeStore) count(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[method]
}

func (s *fakeStore) call(ctx context.Context, method string) error {
	s.mu.Lock()
	s.calls[method]++
	delay, err := s.delay, s.failing[method]
	s.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
		}
	}
	if err == nil {
		err = ctx.Err()
	}
	return err
}

// cut returns what of these events a read returns.
func (s *fakeStore) cut(events []stream.Event, limit int) []stream.Event {
	events = events[:min(limit, len(events))]
	size := 0
	for i := range events {
		if size += len(events[i].Data); s.page > 0 && size > s.page && i > 0 {
			return events[:i:i]
		}
	}
	return slices.Clip(events)
}

func (s *fakeStore) ReadBuild(ctx context.Context, build string, from int64, limit int) ([]stream.Event, error) {
	if err := s.call(ctx, "ReadBuild"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	events := s.builds[build]
	if len(events) > 0 {
		events = events[min(max(from-events[0].Seq, 0), int64(len(events))):]
	}
	return s.cut(events, limit), nil
}

func (s *fakeStore) NextSeqs(ctx context.Context, builds []string) (map[string]int64, error) {
	if err := s.call(ctx, "NextSeqs"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	nexts := map[string]int64{}
	for _, build := range builds {
		if next, ok := s.next[build]; ok {
			nexts[build] = next
		}
	}
	return nexts, nil
}

func (s *fakeStore) LastTold(ctx context.Context, build string) (stream.Event, error) {
	if err := s.call(ctx, "LastTold"); err != nil {
		return stream.Event{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range slices.Backward(s.builds[build]) {
		if e.Type == stream.TypeStatus || !stream.Ours(e.Type) {
			return e, nil
		}
	}
	return stream.Event{}, nil
}

func (s *fakeStore) ReadStream(ctx context.Context, q stream.Filter, after int64, limit int) ([]stream.Event, error) {
	if err := s.call(ctx, "ReadStream"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	first, _ := slices.BinarySearchFunc(s.all, after+1, func(e stream.Event, p int64) int { return int(e.Position - p) })
	var events []stream.Event
	for _, e := range s.all[first:] {
		if (q.Organization == "" || q.Organization == e.Organization) && (q.Pipeline == "" || q.Pipeline == e.Pipeline) &&
			(q.Types == nil || slices.Contains(q.Types, e.Type)) {
			if events = append(events, e); len(events) == limit {
				break
			}
		}
	}
	return s.cut(events, limit), nil
}

func (s *fakeStore) Head(ctx context.Context) (int64, error) {
	if err := s.call(ctx, "Head"); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.head, nil
}

func (s *fakeStore) Dropped(ctx context.Context) (int64, error) {
	if err := s.call(ctx, "Dropped"); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped, nil
}

// rig is a Follower on a fake store, with a bus.
type rig struct {
	*stream.Follower
	store    *fakeStore
	bus      *stream.NotificationsBus
	channels atomic.Int64 // that the bus has listeners of
}

func newRig(tb testing.TB, change func(*stream.FollowerOptions)) *rig {
	tb.Helper()
	r := &rig{store: newFakeStore()}
	r.bus = stream.NewNotificationsBus(stream.BusOptions{Metrics: stream.BusMetrics{
		Listening: func(channels int) { r.channels.Store(int64(channels)) },
	}})
	o := stream.FollowerOptions{Builds: r.store, Stream: r.store, Bus: r.bus}
	if change != nil {
		change(&o)
	}
	r.Follower = stream.NewFollower(o)
	tb.Cleanup(func() {
		_ = r.Close()
		_ = r.bus.Close()
	})
	return r
}

// withoutHints is for newRig.
func withoutHints(o *stream.FollowerOptions) { o.Bus = nil }

// append adds an event and hints at it.
func (r *rig) append(build, typ, data string) stream.Event {
	e := r.store.add(build, typ, data)
	r.bus.Notify(stream.BuildChannel(build))
	r.bus.Notify(stream.EventsChannel)
	return e
}

func (r *rig) build(tb testing.TB, build string, from int64) *stream.EventSource {
	tb.Helper()
	s, err := r.Build(build, from)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func (r *rig) whole(tb testing.TB, q stream.Filter, after int64) *stream.EventSource {
	tb.Helper()
	s, err := r.Stream(q, after)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// Data of a status event.
const (
	isRunning = `{"status":"running"}`
	isPassed  = `{"status":"passed"}`
	isFailed  = `{"status":"failed"}`
)
