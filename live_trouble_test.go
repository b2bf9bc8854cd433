package buildtracker

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/build-tracker/build-tracker/stream"
)

// awayStore has one event of one build, and is away until it is back.
type awayStore struct {
	stream.BuildStore
	stream.StreamStore

	mu    sync.Mutex
	back  bool
	tries int
}

func (s *awayStore) try() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries++
	if s.back || s.tries > 10_000 { // else a stream that does not wait would end nowhere
		return nil
	}
	return fmt.Errorf("connect: %w", context.DeadlineExceeded)
}

func (s *awayStore) NextSeqs(context.Context, []string) (map[string]int64, error) {
	return map[string]int64{"b": 1}, s.try()
}

func (s *awayStore) LastTold(context.Context, string) (stream.Event, error) {
	return s.last(), s.try()
}

func (s *awayStore) ReadBuild(_ context.Context, _ string, from int64, _ int) ([]stream.Event, error) {
	if from > 0 {
		return nil, s.try()
	}
	return []stream.Event{s.last()}, s.try()
}

func (s *awayStore) Head(context.Context) (int64, error) { return 1, nil }

func (s *awayStore) last() stream.Event {
	return stream.Event{BuildID: "b", Position: 1, Type: stream.TypeStatus, Data: []byte(`{"status":"passed"}`)}
}

// A stream outlives a store that is away, whatever its errors are, and does not
// press it: its client hears that it is still there, and then the rest.
func TestStreamWaitsForTheStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const watchers, away = 20, time.Minute
		store, log := &awayStore{}, new(bytes.Buffer)
		follow := stream.NewFollower(stream.FollowerOptions{Builds: store, Stream: store})
		defer follow.Close()
		l := &live{follower: follow, metrics: &newMetrics().stream, log: slog.New(slog.NewTextHandler(log, nil))}
		beating, stop := context.WithCancel(t.Context())
		var serving sync.WaitGroup
		serving.Go(func() { l.beats.run(beating) })
		var answers []*httptest.ResponseRecorder
		for range watchers {
			w := httptest.NewRecorder()
			answers = append(answers, w)
			serving.Go(func() {
				if err := l.build(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), "b", 0); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(away)
		store.mu.Lock()
		store.back = true
		if most := watchers * int(away/(troubleWait/2)); store.tries > most {
			t.Errorf("the store was tried %d times in %s, want at most %d", store.tries, away, most)
		}
		store.mu.Unlock()
		time.Sleep(heartbeat) // they have ended
		stop()
		serving.Wait()
		for _, w := range answers {
			got := w.Body.String()
			if !strings.Contains(got, "\n\n:\n\n") || !strings.HasSuffix(got, "event: end\ndata: {\"status\":\"passed\"}\n\n") {
				t.Fatalf("a client got\n%s", got)
			}
		}
		if lines := strings.Count(log.String(), "\n"); lines == 0 || lines > 10 {
			t.Errorf("%d lines are logged, want a few:\n%s", lines, log)
		}
	})
}
