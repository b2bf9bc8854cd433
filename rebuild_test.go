package buildtracker

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
)

// rebuildOverHTTP asks the server for a rebuild, and returns how it ended.
func (r *running) rebuildOverHTTP() rebuildLine {
	r.t.Helper()
	got := r.do(request{path: "/-/rebuild"})
	if got.status != http.StatusOK || got.header.Get("Content-Type") != "application/jsonl" {
		r.t.Fatalf("rebuild answers %d: %s", got.status, got.body)
	}
	var last rebuildLine
	var done int64
	for line := range strings.Lines(got.body) {
		last = rebuildLine{}
		if err := json.Unmarshal([]byte(line), &last); err != nil {
			r.t.Fatalf("%v: %s", err, line)
		}
		if last.Done < done || last.Done > last.Total {
			r.t.Errorf("the progress goes from %d to %s", done, line)
		}
		done = last.Done
	}
	if !last.Finished || last.Error != "" {
		r.t.Fatalf("the rebuild ended with %+v", last)
	}
	return last
}

// state is all that the API says of every build.
func (r *running) state() map[string]any {
	r.t.Helper()
	state := make(map[string]any)
	for cursor := ""; ; {
		var p struct {
			Builds     []map[string]any
			NextCursor *string `json:"next_cursor"`
		}
		r.read("/api/builds?limit=500&cursor="+cursor, &p)
		for _, b := range p.Builds {
			state[b["id"].(string)] = b
		}
		if p.NextCursor == nil {
			return state
		}
		cursor = *p.NextCursor
	}
}

func (r *running) expectState(want map[string]any) {
	r.t.Helper()
	if diff := cmp.Diff(want, r.state()); diff != "" {
		r.t.Errorf("the builds (-want +got):\n%s", diff)
	}
}

func TestRebuildMakesWhatWasDamagedRight(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		r := startServer(t, s)
		world := traffic.New(rand.New(rand.NewSource(2)).Intn, traffic.Options{Builds: 15, Triggers: true})
		poster := traffic.Poster{Target: func() string { return r.url }, Workers: 32}
		if err := poster.Post(t.Context(), world.Deliveries); err != nil {
			t.Fatal(err)
		}
		row := []*told{tell("row", 1), tell("row", 2), tell("row", 3), tell("row", 4)}
		r.record(row[0].finished("passed", 9), row[1].job("test", "failed"), row[1].finished("failed", 8),
			row[2].job("test", "failed"), row[2].finished("failed", 7), row[3].finished("failed", 6))
		r.settle()
		if err := world.CheckBuilds(t.Context(), r.url); err != nil {
			t.Fatal(err)
		}
		before, said, events := r.state(), s.dump(t)["notices"], len(r.stream())

		if last := r.rebuildOverHTTP(); last.Done != int64(len(before)) {
			t.Errorf("%d builds are rebuilt, want %d", last.Done, len(before))
		}
		r.expectState(before)

		// The columns of one row, the snapshots of others, and a row as a whole.
		s.change(t, `UPDATE builds SET failures = 7, first_failed = 1, last_passed = 0, class = 2, state = 'passed', status = 'passed' WHERE id = 'row-3'`)
		s.changeSnapshot(t, "row-2", func(b map[string]any) { delete(b, "jobs"); delete(b, "Jobs") })
		s.changeSnapshot(t, "row-4", func(b map[string]any) { wrongStreak(b) })
		damaged := world.Builds[5]
		s.change(t, `UPDATE builds SET snapshot = $1 WHERE id = '`+damaged.ID+`'`, []byte("\xff\xff\xff\xffgarbage"))
		var shown struct{ Status string }
		if r.read(fmt.Sprintf("/api/builds/%s/%s/%d", damaged.Organization, damaged.Pipeline, damaged.Number), &shown); shown.Status != damaged.Status {
			t.Errorf("a damaged build is %q, want %q", shown.Status, damaged.Status)
		}
		s.change(t, `DELETE FROM builds WHERE id = 'row-1'`)
		s.change(t, `DELETE FROM builds WHERE id = '`+world.Builds[3].ID+`'`)
		r.rebuildOverHTTP()
		r.expectState(before)
		r.settle()
		if diff := cmp.Diff(said, s.dump(t)["notices"]); diff != "" {
			t.Errorf("the rebuild wants notices:\n%s", diff)
		}
		if n := len(r.stream()); n != events {
			t.Errorf("the rebuild appended %d events", n-events)
		}

		// What comes next builds on rows that are right.
		r.record(tell("row", 5).finished("failed", 1))
		r.settle()
		var next struct {
			Failures int   `json:"consecutive_failures"`
			First    int64 `json:"first_failed_number"`
			Passed   int64 `json:"last_passed_number"`
		}
		if r.read("/api/builds/acme/row/5", &next); next.Failures != 4 || next.First != 2 || next.Passed != 1 {
			t.Errorf("the next failure is %+v, want the 4th since 2, after 1", next)
		}
	})
}

// What was folded since a round was read is in its builds too.
func TestRebuildHasWhatWasFoldedMeanwhile(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		r := newRig(t, s)
		defer r.close()
		one, two, three := tell("web", 1), tell("web", 2), tell("web", 3)
		r.append(one.job("lint", "failed"), two.finished("passed", 9))
		r.fold()
		round, err := r.tracker.readRound(t.Context(), "", r.tracker.mark.Position, roundSize{builds: 5, events: 100})
		if err != nil {
			t.Fatal(err)
		}
		r.append(one.finished("failed", 8), two.job("late", "passed"), three.finished("failed", 7))
		r.fold()
		ids := []string{one.id(), two.id(), three.id()}
		want := r.builds(ids)
		if err := r.tracker.rebuildRound(t.Context(), round); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, r.builds(ids)); diff != "" || len(want) != 3 {
			t.Errorf("%d builds (-folded +rebuilt):\n%s", len(want), diff)
		}
	})
}

// A build may have more events than are read at once.
func TestRebuildReadsAllOfALargeBuild(t *testing.T) {
	t.Parallel()
	r := newRig(t, embeddedStores(t))
	defer r.close()
	large, small := tell("web", 1), tell("web", 2)
	const jobs = 50
	for n := range jobs {
		r.append(large.job(fmt.Sprint(n), "failed"))
	}
	size := roundSize{builds: 5, events: 7}
	r.append(small.finished("passed", 1))
	first, err := r.tracker.readRound(t.Context(), "", jobs+1, size)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(first.events[large.id()]); len(first.ids) != 1 || n != jobs {
		t.Errorf("the first round has the builds %q, and %d events; want that of %d", first.ids, n, jobs)
	}
	for i, e := range first.events[large.id()] {
		if e.Seq != int64(i) {
			t.Fatalf("event %d has seq %d", i, e.Seq)
		}
	}
	second, err := r.tracker.readRound(t.Context(), large.id(), jobs+1, size)
	if err != nil || len(second.ids) != 1 || len(second.events[small.id()]) != 1 {
		t.Errorf("the second round: %+v, %v", second, err)
	}
}

// wrongStreak makes a snapshot claim another row of failures.
func wrongStreak(b map[string]any) {
	for name, value := range b {
		if streak, ok := value.(map[string]any); ok && strings.EqualFold(name, "streak") {
			for field := range streak {
				streak[field] = 9
			}
		}
	}
}

// An event whose payload is damaged in the database holds nobody up, and
// counts when it is whole again.
func TestDamagedEventIsSetAside(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		damages := map[string][]byte{"not compressed": []byte("\xff\xff\xff\xffgarbage")}
		if s.database == "" { // once each is enough
			damages["empty"], damages["no JSON"] = []byte{}, packed(`{"event":`)
			damages["no build"], damages["null"] = packed(`{"event":"build.finished"}`), packed("null")
		}
		for name, garbage := range damages {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := s
				if s.database == "" {
					s = embeddedStores(t)
				}
				first := startServer(t, s)
				one, two := tell("web", 1), tell("web", 2)
				first.record(one.job("test", "failed"), two.event("build.running", nil))
				first.settle()
				first.stop()

				// It is damaged before it is folded: the tracker has to come by it.
				store, err := s.openStore(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, d := range []traffic.Delivery{one.finished("failed", 1), two.finished("failed", 1), tell("web", 3).finished("failed", 1)} {
					if _, err := appendDelivery(t.Context(), store, d); err != nil {
						t.Fatal(err)
					}
				}
				if err := store.Close(); err != nil {
					t.Fatal(err)
				}
				var whole []byte
				s.query(t, `SELECT payload FROM events WHERE build_id = 'web-1' AND type = 'build.finished'`, func(v []any) { whole = v[0].([]byte) })
				s.change(t, `UPDATE events SET payload = $1 WHERE build_id = 'web-1' AND type = 'build.finished'`, garbage)

				r := startServer(t, s)
				r.settle()
				if n, err := r.server.db.CountSetAside(t.Context()); n != 1 || err != nil {
					t.Errorf("%d events are set aside, %v; want 1", n, err)
				}
				r.server.health.measure(t.Context())
				for _, line := range []string{"buildtracker_events_set_aside_total 1\n", "buildtracker_events_set_aside 1\n"} {
					if !strings.Contains(r.get("/metrics").body, line) {
						t.Errorf("the metrics do not have %s", line)
					}
				}
				if strings.Count(r.log.String(), "is set aside") != 1 {
					t.Error("the log does not say once that an event is set aside")
				}
				r.expectStreaks(map[int]string{1: "running 0", 2: "failed 1", 3: "failed 2"})
				// The stream can be read past it.
				for path, want := range map[string]int{"/api/events": 5, "/api/builds/acme/web/1/events": 2} {
					var events []envelope
					r.read(path, &events)
					if got := len(delivered(events)); got != want {
						t.Errorf("%s has %d delivered events, want %d", path, got, want)
					}
				}
				r.rebuildOverHTTP()
				if n, err := r.server.db.CountSetAside(t.Context()); n != 1 || err != nil {
					t.Errorf("after a rebuild with the damage %d events are set aside, %v; want 1", n, err)
				}
				r.expectStreaks(map[int]string{1: "running 0", 2: "failed 1", 3: "failed 2"})

				s.change(t, `UPDATE events SET payload = $1 WHERE build_id = 'web-1' AND type = 'build.finished'`, whole)
				r.rebuildOverHTTP()
				if n, err := r.server.db.CountSetAside(t.Context()); n != 0 || err != nil {
					t.Errorf("%d events are still set aside, %v", n, err)
				}
				r.expectStreaks(map[int]string{1: "failed 1", 2: "failed 2", 3: "failed 3"})
			})
		}
	})
}

// expectStreaks compares status and streak of the builds of acme/web.
func (r *running) expectStreaks(want map[int]string) {
	r.t.Helper()
	got := make(map[int]string)
	for number := range want {
		var b struct {
			Status   string
			Failures int `json:"consecutive_failures"`
		}
		r.read(fmt.Sprint("/api/builds/acme/web/", number), &b)
		got[number] = fmt.Sprint(b.Status, " ", b.Failures)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		r.t.Errorf("the builds (-want +got):\n%s", diff)
	}
}
