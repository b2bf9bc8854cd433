package buildtracker

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// beaten is a client of a stream that gets heartbeats.
type beaten struct {
	*httptest.ResponseRecorder
	mu     sync.Mutex
	times  []time.Time
	block  chan struct{} // nil never blocks
	broken bool
}

func (b *beaten) Write(p []byte) (int, error) {
	if b.block != nil {
		<-b.block
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken {
		return 0, errors.New("broken")
	}
	b.times = append(b.times, time.Now())
	return b.ResponseRecorder.Write(p)
}

func (b *beaten) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.times)
}

func newBeaten(gone func()) (*beaten, *eventWriter) {
	b := &beaten{ResponseRecorder: httptest.NewRecorder()}
	return b, &eventWriter{
		out: b, control: http.NewResponseController(b), buffers: new(sync.Pool),
		gone: func() error { gone(); return nil },
	}
}

// beat runs h in a bubble until the test's function returns.
func beat(t *testing.T, do func(h *heartbeats)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer stop()
		h := new(heartbeats)
		running.Go(func() { h.run(ctx) })
		do(h)
	})
}

func TestEveryStreamGetsItsHeartbeats(t *testing.T) {
	t.Parallel()
	beat(t, func(h *heartbeats) {
		var clients []*beaten
		var joined []time.Time
		var writers []*eventWriter
		for range 100 {
			b, w := newBeaten(func() { t.Error("a stream is taken for gone") })
			h.join(w)
			clients, joined, writers = append(clients, b), append(joined, time.Now()), append(writers, w)
			time.Sleep(137 * time.Millisecond)
		}
		time.Sleep(10 * heartbeat)
		for i, b := range clients {
			h.leave(writers[i])
			last := joined[i]
			for _, at := range b.times {
				if passed := at.Sub(last); passed < heartbeat-time.Second || passed > heartbeat {
					t.Errorf("stream %d: a heartbeat after %s", i, passed)
				}
				last = at
			}
			if passed := time.Since(last); passed > heartbeat {
				t.Errorf("stream %d: none for %s", i, passed)
			}
			if text := b.Body.String(); strings.ReplaceAll(text, ":\n\n", "") != "" {
				t.Errorf("stream %d: %q", i, text)
			}
		}
	})
}

func TestStreamThatHasLeftGetsNothing(t *testing.T) {
	t.Parallel()
	beat(t, func(h *heartbeats) {
		var clients []*beaten
		var writers []*eventWriter
		for range 3 * heartbeatGroups {
			b, w := newBeaten(func() { t.Error("a stream is taken for gone") })
			h.join(w)
			clients, writers = append(clients, b), append(writers, w)
		}
		for i := range writers {
			if i%3 != 0 {
				h.leave(writers[i])
			}
		}
		time.Sleep(heartbeat + 100*time.Millisecond)
		for i, b := range clients {
			if want := max(0, 1-i%3); b.count() != want {
				t.Errorf("stream %d got %d heartbeats, want %d", i, b.count(), want)
			}
		}
		for i := range writers {
			if i%3 == 0 {
				h.leave(writers[i])
			}
		}
		for i := range h.groups {
			if n := len(h.groups[i].streams); n != 0 {
				t.Errorf("group %d keeps %d streams", i, n)
			}
		}
	})
}

func TestClientThatTakesNothingHoldsUpItsGroupOnly(t *testing.T) {
	t.Parallel()
	beat(t, func(h *heartbeats) {
		stuck, w := newBeaten(func() {})
		stuck.block = make(chan struct{})
		h.join(w)
		time.Sleep(time.Second)
		other, otherWriter := newBeaten(func() {})
		h.join(otherWriter)
		defer h.leave(otherWriter)
		time.Sleep(4*heartbeat + 100*time.Millisecond)
		if n := other.count(); n != 4 {
			t.Errorf("the other stream got %d heartbeats", n)
		}
		left := make(chan struct{})
		go func() {
			h.leave(w)
			close(left)
		}()
		close(stuck.block)
		<-left
		if n := stuck.count(); n != 1 {
			t.Errorf("%d heartbeats were written when the stream was left", n)
		}
	})
}

func TestHeartbeatFindsTheClientGone(t *testing.T) {
	t.Parallel()
	beat(t, func(h *heartbeats) {
		gone := make(chan struct{})
		b, w := newBeaten(sync.OnceFunc(func() { close(gone) }))
		b.broken = true
		h.join(w)
		defer h.leave(w)
		began := time.Now()
		<-gone
		if passed := time.Since(began); passed > heartbeat {
			t.Errorf("after %s", passed)
		}
	})
}

// A stream that is being written to needs no comment, and must not get one in the
// middle.
func TestHeartbeatDoesNotWaitForEvents(t *testing.T) {
	t.Parallel()
	beat(t, func(h *heartbeats) {
		b, w := newBeaten(func() {})
		b.block = make(chan struct{})
		h.join(w)
		w.named("end", endData{"passed"})
		flushed := make(chan error)
		go func() { flushed <- w.flush() }()
		time.Sleep(3*heartbeat + 100*time.Millisecond)
		close(b.block)
		if err := <-flushed; err != nil {
			t.Error(err)
		}
		h.leave(w)
		if got, want := b.Body.String(), "event: end\ndata: {\"status\":\"passed\"}\n\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
