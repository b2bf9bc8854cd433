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

	"github.com/build-tracker/build-tracker/internal/bench/load"
)

// TestBurstMeasuresFromTheAnswerToTheState has a server whose state follows a
// known time after the answer.
func TestBurstMeasuresFromTheAnswerToTheState(t *testing.T) {
	t.Parallel()
	const delay = 30 * time.Millisecond
	var mu sync.Mutex
	bodies := make(map[string]time.Time) // shown from then on
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.Method == http.MethodPost {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			bodies[string(body)] = time.Now().Add(delay)
			return
		}
		for body, at := range bodies {
			if time.Now().After(at) {
				fmt.Fprint(w, body)
			}
		}
	}))
	t.Cleanup(server.Close)
	traffic, err := load.NewTraffic(load.TrafficOptions{Shape: load.Shape{Jobs: hotSenders, Finishes: true}})
	if err != nil {
		t.Fatal(err)
	}
	b := burster{addr: strings.TrimPrefix(server.URL, "http://"), path: func(*load.Build) string { return "/" }, traffic: traffic}
	p99, err := b.p99(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	// At the least the delay, but for the answer's way back.
	if p99 < 20 || p99 > 5000 {
		t.Errorf("%.1f ms from the answer to the state, want 30 and a little", p99)
	}
}
