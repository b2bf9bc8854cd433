package baseline_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/build-tracker/build-tracker/internal/bench/baseline"
	"github.com/build-tracker/build-tracker/internal/bench/load"
)

func TestHeartbeatsComeUntilTheClientGoes(t *testing.T) {
	t.Parallel()
	left := make(chan struct{})
	h := baseline.Heartbeats(time.Millisecond)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(left)
		h.ServeHTTP(w, r)
	}))
	defer server.Close()
	s, err := load.Watch(t.Context(), strings.TrimPrefix(server.URL, "http://"), "/")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if m, err := s.Next(); err != nil || m.Name != "" {
			t.Fatalf("got %+v, %v; want a comment", m, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	<-left
}
