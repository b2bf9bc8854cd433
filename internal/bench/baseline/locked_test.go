package baseline_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/internal/bench/baseline"
	"github.com/build-tracker/build-tracker/internal/bench/load"
	"github.com/build-tracker/build-tracker/internal/testenv"
)

func TestAnsweringFoldsWhatItAnswered(t *testing.T) {
	t.Parallel()
	state, err := baseline.NewLocked(testenv.Redis(t))
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	var log strings.Builder
	h := baseline.NewAnswering(state, slog.New(slog.NewTextHandler(&log, nil)))
	server := httptest.NewServer(h)
	defer server.Close()

	maker, err := load.NewMaker(1)
	if err != nil {
		t.Fatal(err)
	}
	b := maker.Build(load.BuildOptions{Pipeline: "web", Branch: "main", Number: 1, Failed: true, Shape: load.Shape{Jobs: 3}, Finished: time.Now()})
	var posting sync.WaitGroup
	for n := range b.Deliveries() {
		posting.Go(func() {
			c, err := load.Dial(t.Context(), strings.TrimPrefix(server.URL, "http://"), "")
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			if err := c.Post(b.Delivery(n, nil)); err != nil {
				t.Error(err)
			}
		})
	}
	posting.Wait()
	h.Wait()
	res, err := http.Get(server.URL + "/builds/" + b.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var got build.View
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.ID != b.ID || got.Status != build.Failed || len(got.Steps) != 3 {
		t.Errorf("the build is %s with %d steps, want failed with 3; log: %s", got.Status, len(got.Steps), log.String())
	}
}
