package buildtracker

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/build-tracker/build-tracker/internal/testenv"
	"github.com/build-tracker/build-tracker/stream"
)

// Watchers that went leave nothing behind in a server that goes on, and those
// that are there when it stops are sent away.
//
// It does not run beside other tests, whose goroutines come and go.
func TestThousandWatchersLeaveNothingBehind(t *testing.T) {
	const watchers, builds = 1000, 50
	r := startServer(t, stores{database: testenv.Postgres(t), redis: testenv.Redis(t)})
	for n := range builds {
		r.record(tell("web", n+1).event("build.running", nil))
	}
	r.settle()
	r.client.CloseIdleConnections()
	before := goleak.IgnoreCurrent()

	open := func() []*watching {
		var all []*watching
		for i := range watchers {
			path := fmt.Sprintf("/api/builds/acme/web/%d/events", i%builds+1)
			if i%10 == 0 {
				path = "/api/events"
			}
			w := r.watch(path, "")
			w.until("status") // it has come as far as it can
			all = append(all, w)
		}
		if got := r.server.follow.Stats().Watchers; got != watchers {
			t.Errorf("%d watchers are there, want %d", got, watchers)
		}
		return all
	}
	for _, w := range open() {
		w.cancel()
	}
	await(t, "all watchers to be gone", func() (bool, error) {
		return r.server.follow.Stats() == stream.FollowerStats{}, nil
	})
	if !strings.Contains(r.get("/metrics").body, "\nbuildtracker_watchers 0\n") {
		t.Error("the metrics count watchers that are gone")
	}
	r.client.CloseIdleConnections()
	await(t, "their goroutines to be gone", func() (bool, error) {
		err := goleak.Find(before)
		return err == nil, err
	})

	left := open()
	r.stop()
	for _, w := range left {
		all := w.until("shutdown")
		if diff := cmp.Diff(sse{Event: "shutdown", Data: "{}"}, all[len(all)-1]); diff != "" {
			t.Fatalf("a watcher is not sent away (-want +got):\n%s", diff)
		}
	}
}
