package load_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/internal/bench/load"
)

// streamOf serves texts, each written out by itself, at /, and then waits for the
// client to go where it is asked for ?open.
func streamOf(t *testing.T, texts ...string) (addr string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" || r.Header.Get("Accept") != "text/event-stream" {
			http.NotFound(w, r)
			return
		}
		for _, text := range texts {
			fmt.Fprint(w, text)
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
		}
		if r.URL.RawQuery == "open" {
			<-r.Context().Done()
		}
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func TestWatchReadsEventsAndComments(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789", 10_000)
	addr := streamOf(t, "retry: 2000\n\n:\n\nid: 0\nevent: job.sta", "rted\ndata: {\"a\":1}\n\n:", " alive\n\nevent: status\ndata: "+long+"\n\n")
	s, err := load.Watch(t.Context(), addr, "/")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var got []string
	for {
		m, err := s.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, m.Name+" "+string(m.Data))
	}
	if diff := cmp.Diff([]string{" ", `job.started {"a":1}`, " ", "status " + long}, got); diff != "" {
		t.Error(diff)
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	t.Parallel()
	addr := streamOf(t, ":\n\n")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, err := load.Watch(ctx, addr, "/?open")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Next(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if m, err := s.Next(); err == nil {
		t.Errorf("after the end: %+v", m)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestWatchIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := load.Watch(t.Context(), streamOf(t), "/elsewhere"); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("watch: %v", err)
	}
}
