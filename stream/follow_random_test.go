package stream_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/build-tracker/build-tracker/stream"
)

// Writers append to builds, with hints lost and doubled, while watchers come, go
// and come back where they were. Each sees every seq once, in order.
func TestEveryWatcherSeesEverythingOnceInOrder(t *testing.T) {
	t.Parallel()
	const writers, builds, events, watchers = 4, 12, 300, 60
	r := newRig(t, func(o *stream.FollowerOptions) {
		o.QueueSize = 8      // overflows
		o.Memory = 256 << 10 // windows are small
	})
	var all sync.WaitGroup
	for w := range writers {
		random := rand.New(rand.NewPCG(uint64(w), 1))
		all.Go(func() {
			for i := range events * builds / writers {
				build := fmt.Sprint("b", i%(builds/writers)*writers+w)
				r.store.add(build, "job.started", strings.Repeat("x", random.IntN(4000)))
				for range random.IntN(3) {
					r.bus.Notify(stream.BuildChannel(build))
				}
				if random.IntN(3) > 0 {
					r.bus.Notify(stream.EventsChannel)
				}
			}
			for b := w; b < builds; b += writers {
				r.store.add(fmt.Sprint("b", b), stream.TypeStatus, isPassed)
			}
			r.store.add("", "agent.stopped", "{}")
		})
	}
	for i := range watchers {
		all.Go(func() {
			build := fmt.Sprint("b", i%builds)
			random := rand.New(rand.NewPCG(uint64(i), 2))
			next, err := resume(t.Context(), random, 0, func(next int64) (*stream.EventSource, error) {
				return r.Build(build, next)
			}, func(e *stream.Event) (int64, bool) { return e.Seq, false })
			if err != nil || next != events+1 {
				t.Errorf("watcher of %s ended before seq %d: %v", build, next, err)
			}
		})
		if i%10 > 0 {
			continue
		}
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 3))
			const last = builds*(events+1) + writers
			next, err := resume(t.Context(), random, 1, func(next int64) (*stream.EventSource, error) {
				return r.Stream(stream.Filter{}, next-1)
			}, func(e *stream.Event) (int64, bool) { return e.Position, e.Position == last })
			if err != nil || next != last+1 {
				t.Errorf("watcher of the stream ended before position %d: %v", next, err)
			}
		})
	}
	all.Wait()
	if got := r.Stats(); got != (stream.FollowerStats{}) {
		t.Errorf("left: %+v", got)
	}
}

// resume reads to the end of a build, or the last event, and now and then closes
// the source, while it reads too, and opens it again where it was. It returns
// where it ended.
func resume(ctx context.Context, random *rand.Rand, next int64,
	open func(next int64) (*stream.EventSource, error), key func(*stream.Event) (at int64, last bool),
) (int64, error) {
	for {
		s, err := open(next)
		if err != nil {
			return next, err
		}
		closed := make(chan struct{})
		take := random.IntN(200)
		for ; ; take-- {
			if take == 0 {
				go func() {
					defer close(closed)
					s.Close()
				}()
			}
			e, err := s.Next(ctx)
			if errors.Is(err, stream.ErrClosed) {
				<-closed
				break
			}
			if errors.Is(err, stream.ErrEndOfBuildEventStream) {
				return next, s.Close()
			}
			at, last := key(&e)
			if err != nil || at != next {
				return next, errors.Join(err, fmt.Errorf("it got %d instead", at), s.Close())
			}
			next++
			if last {
				return next, s.Close()
			}
		}
	}
}

// model is a build's stream as one watcher after the other must see it.
type model struct {
	r       *rig
	sources []*watched
	// unhinted is when events were last appended without a hint.
	unhinted time.Time
}

type watched struct {
	*stream.EventSource
	next  int64
	ended bool
}

// may returns what Next may return when it has all the time it needs.
func (m *model) may(w *watched) []string {
	if w.ended {
		return []string{"end"}
	}
	s := m.r.store
	s.mu.Lock()
	defer s.mu.Unlock()
	events, next := s.builds["b"], s.next["b"]
	var all []string
	// What decided may have been dropped before it was read. And for a second,
	// nobody may know of what came without a hint.
	known, stored := final(s.ever, w.next), final(events, w.next)
	if (w.next >= next || time.Since(m.unhinted) <= time.Second) && (known || stored) {
		all = append(all, "end")
	}
	first := next
	if len(events) > 0 {
		first = events[0].Seq
	}
	switch {
	case w.next >= next:
		if !known || !stored {
			all = append(all, "waits")
		}
	case w.next >= first:
		all = append(all, tell(events[w.next-first], nil))
	default:
		// What was dropped may have been read before, wholly or in part.
		all = append(all, tell(s.ever[w.next], nil))
		for gap := w.next + 1; gap <= first; gap++ {
			all = append(all, fmt.Sprint("gap ", gap))
		}
	}
	return all
}

// final says whether the events below a seq end the build's stream.
func final(events []stream.Event, below int64) bool {
	for _, e := range slices.Backward(events) {
		switch {
		case e.Seq >= below: // it is not asked about
		case e.Type == stream.TypeStatus:
			return string(e.Data) != isRunning
		case !stream.Ours(e.Type):
			return false
		}
	}
	return false
}

func TestBuildIsFollowedWhateverHappens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// The bubble's clock knows no deadline of the test.
		rapid.Check(struct{ testing.TB }{t}, func(rt *rapid.T) {
			m := &model{r: newRig(t, func(o *stream.FollowerOptions) {
				o.Memory = rapid.SampledFrom([]int64{1, 64 << 10, 64 << 20}).Draw(rt, "memory")
			})}
			defer m.r.bus.Close()
			defer m.r.Close()
			rt.Repeat(map[string]func(*rapid.T){
				"append": m.append,
				"drop":   m.drop,
				"open":   func(rt *rapid.T) { m.open(t, rt) },
				"close":  m.close,
				"next":   func(rt *rapid.T) { m.takeSome(t, rt) },
			})
		})
	})
}

func (m *model) append(rt *rapid.T) {
	typ := rapid.SampledFrom([]string{"job.started", stream.TypeStatus, stream.TypeStatus, stream.TypeNotice}).Draw(rt, "type")
	data := rapid.SampledFrom([]string{isRunning, isPassed}).Draw(rt, "data")
	for range rapid.SampledFrom([]int{1, 1, 2, 5, 300}).Draw(rt, "events") {
		m.r.store.add("b", typ, data)
	}
	hints := rapid.IntRange(0, 2).Draw(rt, "hints")
	for range hints {
		m.r.bus.Notify(stream.BuildChannel("b"))
	}
	if hints == 0 {
		m.unhinted = time.Now()
	}
	synctest.Wait()
}

// drop has retention drop events. They are old: whoever follows knows of them.
func (m *model) drop(rt *rapid.T) {
	time.Sleep(2 * time.Second)
	synctest.Wait()
	m.r.store.drop("b", rapid.Int64Range(0, m.r.store.next["b"]).Draw(rt, "below"))
}

func (m *model) open(t *testing.T, rt *rapid.T) {
	if len(m.sources) == 5 {
		rt.Skip("enough")
	}
	from := rapid.Int64Range(0, m.r.store.next["b"]).Draw(rt, "from")
	m.sources = append(m.sources, &watched{EventSource: m.r.build(t, "b", from), next: from})
}

func (m *model) close(rt *rapid.T) {
	if len(m.sources) == 0 {
		rt.Skip("none")
	}
	m.sources[0].Close()
	m.sources = m.sources[1:]
}

func (m *model) takeSome(t *testing.T, rt *rapid.T) {
	if len(m.sources) == 0 {
		rt.Skip("none")
	}
	w := rapid.SampledFrom(m.sources).Draw(rt, "source")
	for range rapid.SampledFrom([]int{1, 3, 10, 400}).Draw(rt, "times") {
		may := m.may(w)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		e, err := w.Next(ctx)
		cancel()
		got := tell(e, err)
		if !slices.Contains(may, got) {
			rt.Fatalf("at seq %d: %s, want one of %q", w.next, got, may)
		}
		var gap *stream.GapError
		switch {
		case errors.As(err, &gap):
			w.next = gap.First
		case errors.Is(err, stream.ErrEndOfBuildEventStream):
			w.ended = true
		case err == nil:
			w.next = e.Seq + 1
		}
	}
}
