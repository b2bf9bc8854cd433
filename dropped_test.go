package buildtracker

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/config"
	"github.com/build-tracker/build-tracker/db"
)

// What retention has dropped is told, not skipped.
func TestDroppedEventsAreTold(t *testing.T) {
	t.Parallel()
	r := startServer(t, embeddedStores(t), func(c *config.Config) { c.Notices = false })
	ended, running := tell("web", 1), tell("web", 2)
	r.record(ended.finished("passed", 1), running.event("build.running", nil))
	r.settle()
	last := r.events("/api/events?limit=1000")
	dropped := last[len(last)-1].Position
	await(t, "the cursor to be past our events", func() (bool, error) {
		c, err := r.server.db.Cursor(t.Context(), trackerCursor)
		return c.Position == dropped, err
	})
	done, err := r.server.db.Retain(t.Context(), db.RetainQuery{
		Now: time.Now().AddDate(0, 0, 10), Events: time.Hour, Builds: 1000 * 24 * time.Hour, Deliveries: 1000 * 24 * time.Hour,
	})
	if err != nil || len(done.Days) != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	r.record(running.job("lint", "passed"))
	r.settle()

	for path, first := range map[string]string{
		"/api/builds/acme/web/1/events": "?from=2", "/api/builds/acme/web/2/events": "?from=2", "/api/events": fmt.Sprintf("?after=%d", dropped),
	} {
		if got := r.get(path); got.status != http.StatusGone || !strings.Contains(got.body, first) || !strings.Contains(got.body, `"first":`) {
			t.Errorf("%s: %d %s, want %s", path, got.status, got.body, first)
		}
		if got := r.get(path + first); got.status != http.StatusOK {
			t.Errorf("%s%s: %d %s", path, first, got.status, got.body)
		}
	}
	whole := r.watch("/api/builds/acme/web/1/events", "").until("end")
	if diff := cmp.Diff([]sse{{Event: "gap", Data: `{"first":2}`}, {Event: "end", Data: `{"status":"passed"}`}}, whole); diff != "" {
		t.Errorf("a build without events (-want +got):\n%s", diff)
	}
	if got := names(r.watch("/api/builds/acme/web/1/events", "1").until("end")); len(got) != 1 {
		t.Errorf("behind its last event there is %v", got)
	}
	if got := names(r.watch("/api/builds/acme/web/2/events", "").until("finish")); cmp.Diff([]string{" gap", "2 job.finished", "3 finish"}, got) != "" {
		t.Errorf("a build with events has %v", got)
	}
	if e, _ := r.watch("/api/events", "").next(); e.Event != "gap" || e.Data != fmt.Sprintf(`{"first":%d}`, dropped+1) {
		t.Errorf("the whole stream begins with %v", e)
	}
}

// Where teams' events are dropped at different times, all others can be read, as
// arrays and by an export.
func TestWhatIsBetweenDroppedEventsCanBeRead(t *testing.T) {
	t.Parallel()
	s := embeddedStores(t)
	r := startServer(t, s, func(c *config.Config) {
		c.Notices = false
		c.Live.Teams = []config.Team{{Name: "fleeting", Pipelines: []string{"acme/fleeting"}}}
	})
	for n := range 3 {
		r.record(tell("fleeting", n+1).finished("passed", 1), tell("kept", n+1).finished("failed", 1))
	}
	r.record(tell("fleeting", 4).event("build.running", nil), tell("kept", 4).event("build.running", nil), tell("kept", 5).event("build.running", nil))
	r.settle()
	var dropped int64
	for _, e := range r.events("/api/events?limit=1000") {
		if e.Pipeline != nil && *e.Pipeline == "fleeting" {
			dropped = e.Position
		}
	}
	await(t, "the cursors to be past it", func() (bool, error) {
		c, err := r.server.db.Cursor(t.Context(), trackerCursor)
		return c.Position >= dropped, err
	})
	done, err := r.server.db.Retain(t.Context(), db.RetainQuery{
		Now: time.Now().AddDate(0, 0, 10), Events: 1000 * 24 * time.Hour, Teams: map[string]time.Duration{"fleeting": time.Hour},
		Builds: 1000 * 24 * time.Hour, Deliveries: 1000 * 24 * time.Hour,
	})
	if err != nil || len(done.Days) != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	kept, err := r.server.db.ReadAll(t.Context(), db.ReadQuery{})
	if err != nil {
		t.Fatal(err)
	}
	var want []int64
	for _, e := range kept {
		want = append(want, e.Position)
	}
	for _, limit := range []int{1, 3, 1000} {
		got, told := readDropped(r, limit)
		if !slices.Equal(got, want) {
			t.Errorf("%d at a time: positions %v, want %v", limit, got, want)
		}
		if !slices.Equal(told, []int64{dropped}) {
			t.Errorf("%d at a time: events may be missing up to %v, want %d", limit, told, dropped)
		}
	}

	since := kept[0].Time.Add(-time.Hour)
	remote, store := exportOptions(s, config.ExportJSONL, t.TempDir(), since, since.Add(24*time.Hour)), exportOptions(s, config.ExportJSONL, t.TempDir(), since, since.Add(24*time.Hour))
	remote.Server = &config.Client{URL: r.url, Named: true}
	through, err := Export(t.Context(), remote)
	if err != nil {
		t.Fatal(err)
	}
	r.stop()
	stored, err := Export(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(stored, through); diff != "" {
		t.Errorf("exported (-store +server):\n%s", diff)
	}
	if diff := cmp.Diff(rowFiles(t, store.Export.Out), rowFiles(t, remote.Export.Out)); diff != "" {
		t.Errorf("files (-store +server):\n%.3000s", diff)
	}
}

// readDropped reads the whole stream in arrays, and goes on where a refusal says that
// it can. It returns the positions, and up to where others were said to be missing.
func readDropped(r *running, limit int) (positions, told []int64) {
	r.t.Helper()
	for after := int64(0); ; {
		got := r.get(fmt.Sprintf("/api/events?limit=%d&after=%d", limit, after))
		var events []struct{ Position int64 }
		var p problem
		switch got.status {
		case http.StatusOK:
			if err := json.Unmarshal([]byte(got.body), &events); err != nil {
				r.t.Fatal(err)
			}
			if len(events) == 0 {
				return positions, slices.Compact(told)
			}
			for _, e := range events {
				positions = append(positions, e.Position)
			}
			after = positions[len(positions)-1]
			if through := got.header.Get(droppedThrough); through != "" {
				n, err := strconv.ParseInt(through, 10, 64)
				if err != nil {
					r.t.Fatal(err)
				}
				told = append(told, n)
			}
		case http.StatusGone:
			if err := json.Unmarshal([]byte(got.body), &p); err != nil {
				r.t.Fatal(err)
			}
			if p.First <= after+1 {
				r.t.Fatalf("behind %d: %s", after, got.body)
			}
			after = p.First - 1
			told = append(told, p.Dropped)
		default:
			r.t.Fatalf("behind %d: %d %s", after, got.status, got.body)
		}
	}
}
