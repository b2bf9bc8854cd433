package main

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
)

// load is a world on its way to servers.
type load struct {
	t      *testing.T
	world  *traffic.World
	poster *traffic.Poster
	done   chan struct{} // closed when err is set
	err    error

	mu      sync.Mutex
	slowest time.Duration
	spent   time.Duration // over all tries
	tries   int
	refused []traffic.Answer // what was not 200
}

// startLoad begins to post a world's deliveries.
func startLoad(t *testing.T, world *traffic.World, poster *traffic.Poster) *load {
	t.Helper()
	l := &load{t: t, world: world, poster: poster, done: make(chan struct{})}
	poster.Heard = l.heard
	go func() {
		defer close(l.done)
		l.err = poster.Post(t.Context(), world.Deliveries)
	}()
	return l
}

func (l *load) heard(a traffic.Answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tries++
	l.spent += a.Took
	l.slowest = max(l.slowest, a.Took)
	if a.Err != nil || a.Status != http.StatusOK {
		l.refused = append(l.refused, a)
	}
}

// reached returns when part of whole deliveries were taken.
func (l *load) reached(part, whole int) {
	l.t.Helper()
	want := int64(len(l.world.Deliveries) * part / whole)
	wait(l.t, func() bool { return l.poster.Acked() >= want || l.ended() })
}

// ended says whether there is no load any more.
func (l *load) ended() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// finish returns when all deliveries were taken.
func (l *load) finish() {
	l.t.Helper()
	<-l.done
	if l.err != nil {
		l.t.Fatal(l.err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.t.Logf("%d deliveries; %d tries were not answered 200, the slowest took %s, all %s on average",
		len(l.world.Deliveries), len(l.refused), l.slowest, l.average())
}

// average is how long a try took; l.mu is held.
func (l *load) average() time.Duration { return l.spent / time.Duration(max(l.tries, 1)) }

// countRefused returns how many tries were not answered 200.
func (l *load) countRefused() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.refused)
}

// checkAllTaken fails the test unless each delivery was answered 200 at its
// first try, in time for Buildkite and fast on average.
func (l *load) checkAllTaken() {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.refused); n > 0 {
		l.t.Errorf("%d deliveries were not answered 200, the first: %v", n, l.refused[0])
	}
	if l.slowest > 4*time.Second {
		l.t.Errorf("a delivery was answered after %s", l.slowest)
	}
	if average := l.average(); average > 500*time.Millisecond {
		l.t.Errorf("deliveries were answered after %s on average", average)
	}
}

// last returns when d is over: for a duration that is the subject itself.
func last(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}
