package load_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/build-tracker/build-tracker/internal/bench/load"
)

// taker is a server that notes what it is sent.
type taker struct {
	mu     sync.Mutex
	events map[string]int // by name
	wrong  []string
	status int
}

func newTaker(t *testing.T) (*taker, string) {
	t.Helper()
	k := &taker{events: make(map[string]int), status: http.StatusOK}
	server := httptest.NewServer(k)
	t.Cleanup(server.Close)
	return k, strings.TrimPrefix(server.URL, "http://")
}

func (k *taker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var payload struct{ Event string }
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case err != nil || json.Unmarshal(body, &payload) != nil:
		k.wrong = append(k.wrong, "no JSON: "+string(body))
	case payload.Event != r.Header.Get("X-Buildkite-Event"):
		k.wrong = append(k.wrong, "header "+r.Header.Get("X-Buildkite-Event")+", body "+payload.Event)
	case r.Header.Get("X-Buildkite-Token") != "secret":
		k.wrong = append(k.wrong, "no token")
	}
	k.events[payload.Event]++
	w.WriteHeader(k.status)
	io.WriteString(w, `{"status":"recorded"}`)
}

func newTraffic(t *testing.T) *load.Traffic {
	t.Helper()
	traffic, err := load.NewTraffic(load.TrafficOptions{Shape: load.Shape{Jobs: 2, Finishes: true}})
	if err != nil {
		t.Fatal(err)
	}
	return traffic
}

func TestFloodPostsWholeBuilds(t *testing.T) {
	t.Parallel()
	server, addr := newTaker(t)
	flooded, err := load.Flood(t.Context(), load.FloodOptions{
		Addr: addr, Token: "secret", Connections: 4, Traffic: newTraffic(t), Builds: 10,
	})
	if err != nil {
		t.Fatal(err)
	}
	if flooded.Deliveries != 30 || server.events["job.finished"] != 20 || server.events["build.finished"] != 10 {
		t.Errorf("%d deliveries: %v", flooded.Deliveries, server.events)
	}
	if len(server.wrong) > 0 {
		t.Error(server.wrong)
	}
	if flooded.Took <= 0 || flooded.PerSecond() <= 0 {
		t.Errorf("took %s, %f a second", flooded.Took, flooded.PerSecond())
	}
}

func TestFloodEndsInTime(t *testing.T) {
	t.Parallel()
	server, addr := newTaker(t)
	flooded, err := load.Flood(t.Context(), load.FloodOptions{
		Addr: addr, Token: "secret", Connections: 2, Traffic: newTraffic(t), For: 50 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := server.events["job.finished"] + server.events["build.finished"]; int64(n) != flooded.Deliveries {
		t.Errorf("%d deliveries counted, %d came", flooded.Deliveries, n)
	}
	if flooded.Took < 40*time.Millisecond {
		t.Errorf("ended after %s", flooded.Took)
	}
}

func TestRefusedDeliveriesAreErrors(t *testing.T) {
	t.Parallel()
	server, addr := newTaker(t)
	server.status = http.StatusServiceUnavailable
	traffic := newTraffic(t)
	_, err := load.Flood(t.Context(), load.FloodOptions{Addr: addr, Connections: 2, Traffic: traffic, Builds: 2})
	if err == nil || !strings.Contains(err.Error(), "answered 503") {
		t.Errorf("flood: %v", err)
	}
	_, err = load.Pace(t.Context(), load.PaceOptions{
		Addr: addr, PerSecond: 1000, Connections: 1, Count: 3,
		Next:     func(n int) load.Delivery { return traffic.Next().Delivery(0, nil) },
		Answered: func(int, time.Time) { t.Error("a refused delivery counts as answered") },
	})
	if err == nil || !strings.Contains(err.Error(), "answered 503") {
		t.Errorf("pace: %v", err)
	}
}

func TestPaceKeepsItsTimes(t *testing.T) {
	t.Parallel()
	server, addr := newTaker(t)
	traffic := newTraffic(t)
	var mu sync.Mutex
	answered := make(map[int]bool)
	began := time.Now()
	_, err := load.Pace(t.Context(), load.PaceOptions{
		Addr: addr, Token: "secret", PerSecond: 200, Connections: 3, Count: 11,
		Next: func(int) load.Delivery { return traffic.Next().Delivery(0, nil) },
		Answered: func(n int, at time.Time) {
			mu.Lock()
			defer mu.Unlock()
			answered[n] = true
			if due := began.Add(time.Duration(n) * 5 * time.Millisecond); at.Before(due) {
				t.Errorf("delivery %d was answered before its time", n)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(answered) != 11 || server.events["job.finished"] != 11 {
		t.Errorf("%d answered, came: %v", len(answered), server.events)
	}
	if len(server.wrong) > 0 {
		t.Error(server.wrong)
	}
}

func TestGetReadsLongAnswers(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789", 10_000) // goes out in chunks
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/there" {
			http.NotFound(w, r)
			return
		}
		io.WriteString(w, long)
	}))
	t.Cleanup(server.Close)
	c, err := load.Dial(t.Context(), strings.TrimPrefix(server.URL, "http://"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 2 { // the connection is kept
		if got, err := c.Get("/there"); err != nil || string(got) != long {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
		if got, err := c.Get("/elsewhere"); err != nil || got != nil {
			t.Errorf("not found: %q, %v", got, err)
		}
	}
}
