package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/internal/bench/baseline"
	"github.com/build-tracker/build-tracker/internal/bench/load"
	"github.com/build-tracker/build-tracker/internal/bench/measure"
)

// echoes is a server that streams each delivery to all who watch, in the order
// in which they came, a known time after its answer.
type echoes struct {
	delay time.Duration
	// times says how often a delivery comes to who watches; nil is once.
	times func(event string) int
	// answered holds what was answered and is not streamed yet. One goroutine
	// takes from it: timers of their own would let deliveries overtake each
	// other.
	answered chan echo

	mu       sync.Mutex
	messages []string
	more     chan struct{} // closed at the next message
}

type echo struct {
	event, body string
	at          time.Time
}

func newEchoes(t *testing.T, delay time.Duration, times func(event string) int) (addr string) {
	t.Helper()
	e := &echoes{delay: delay, times: times, answered: make(chan echo, 64), more: make(chan struct{})}
	var adding sync.WaitGroup
	adding.Go(func() {
		for a := range e.answered {
			<-time.After(time.Until(a.at))
			e.add(a.event, a.body)
		}
	})
	server := httptest.NewServer(e)
	t.Cleanup(func() {
		server.Close()
		close(e.answered)
		adding.Wait()
	})
	return strings.TrimPrefix(server.URL, "http://")
}

func (e *echoes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodPost:
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		e.answered <- echo{r.Header.Get("X-Buildkite-Event"), string(body), time.Now().Add(e.delay)}
	case strings.HasSuffix(r.URL.Path, "/events"):
		e.stream(w, r)
	default:
		fmt.Fprint(w, "{}")
	}
}

func (e *echoes) add(event, body string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 1
	if e.times != nil {
		n = e.times(event)
	}
	for range n {
		e.messages = append(e.messages, "event: "+event+"\ndata: "+body+"\n\n")
	}
	if event == "build.finished" {
		e.messages = append(e.messages, "event: end\ndata: {}\n\n")
	}
	close(e.more)
	e.more = make(chan struct{})
}

func (e *echoes) stream(w http.ResponseWriter, r *http.Request) {
	for next := 0; ; {
		e.mu.Lock()
		messages, more := e.messages[next:], e.more
		e.mu.Unlock()
		next += len(messages)
		io.WriteString(w, strings.Join(messages, ""))
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		select {
		case <-more:
		case <-r.Context().Done():
			return
		}
	}
}

func measureEchoes(t *testing.T, addr string) ([]time.Duration, error) {
	t.Helper()
	maker, err := load.NewMaker(1)
	if err != nil {
		t.Fatal(err)
	}
	f := &followed{addr: addr, maker: maker}
	took, _, err := f.measure(t.Context(), audience{builds: 1, watchers: 3, jobs: 2, legs: 1})
	return took, err
}

// TestFollowMeasuresFromTheAnswerToEachWatcher has events follow a known time
// after their answers.
func TestFollowMeasuresFromTheAnswerToEachWatcher(t *testing.T) {
	t.Parallel()
	took, err := measureEchoes(t, newEchoes(t, 30*time.Millisecond, nil))
	if err != nil {
		t.Fatal(err)
	}
	// Of 9 deliveries, all but the first and the last.
	if len(took) != 3*7 {
		t.Errorf("%d times of 3 watchers, want 21", len(took))
	}
	// At the least the delay, but for the answer's way back.
	if p50 := milliseconds(measure.Percentile(50, took)); p50 < 20 || p50 > 5000 {
		t.Errorf("%.1f ms from the answer to the watcher, want 30 and a little", p50)
	}
}

func TestFollowTellsOfWhatAWatcherDidNotSee(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		times int
		want  string
	}{
		"missing": {0, "did not see job.started"},
		"twice":   {2, "came twice"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := newEchoes(t, 0, func(event string) int {
				if event == "job.started" {
					return tc.times
				}
				return 1
			})
			if _, err := measureEchoes(t, addr); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one that says %q", err, tc.want)
			}
		})
	}
}

func TestDelaysCountFromZero(t *testing.T) {
	t.Parallel()
	began := time.Now()
	at := func(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }
	one, other := eventKey{"a", "job.started", "1"}, eventKey{"b", "job.started", "2"}
	got, err := delays(
		[]post{{one, at(10)}, {other, at(20)}},
		[]sightings{
			{"a", map[eventKey]time.Time{one: at(13)}},
			{"a", map[eventKey]time.Time{one: at(9)}}, // before the answer
			{"b", map[eventKey]time.Time{other: at(27)}},
		})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]time.Duration{3 * time.Millisecond, 0, 7 * time.Millisecond}, got); diff != "" {
		t.Error(diff)
	}
}

func TestIdleStreamsAreHeldToTheirHeartbeats(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(baseline.Heartbeats(time.Millisecond))
	t.Cleanup(server.Close)
	streams, err := openIdle(t.Context(), strings.TrimPrefix(server.URL, "http://"), []string{"/1", "/2", "/3"})
	if err != nil {
		t.Fatal(err)
	}
	for streams.beat(3) != nil {
		select {
		case <-streams.ctx.Done():
			t.Fatal(streams.ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
	if err := streams.beat(1_000_000); err == nil {
		t.Error("heartbeats that did not come are not missed")
	}
	server.CloseClientConnections()
	<-streams.ctx.Done() // a stream that breaks off ends what is measured
	streams.close()
}

func TestIdleStreamsAreRefused(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	if _, err := openIdle(t.Context(), strings.TrimPrefix(server.URL, "http://"), []string{"/1", "/2"}); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("open: %v", err)
	}
}
