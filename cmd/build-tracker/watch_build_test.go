package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// told folds events into a build; each is a type and data.
func told(t *testing.T, events ...[2]string) *seenBuild {
	t.Helper()
	b := new(seenBuild)
	for _, e := range events {
		b.take(&envelope{Type: e[0], Data: json.RawMessage(e[1])})
	}
	return b
}

// standing is what the drawing says of each step.
func standing(b *seenBuild) [][3]string {
	var out [][3]string
	for i := range b.Steps {
		s := &b.Steps[i]
		took, _ := s.took(noon)
		out = append(out, [3]string{s.label(), s.word(), span(took)})
	}
	return out
}

const (
	lintStarts   = `{"step":{"id":"s1","name":"lint"},"job":{"id":"j1","state":"running","started_at":"2026-03-02T11:59:00Z"}}`
	lintFails    = `{"step":{"id":"s1","name":"lint"},"job":{"id":"j1","state":"failed","exit_status":1,"started_at":"2026-03-02T11:59:00Z","finished_at":"2026-03-02T11:59:12Z"},"status":"failed"}`
	lintPasses   = `{"step":{"id":"s1","name":"lint"},"job":{"id":"j1","state":"passed","started_at":"2026-03-02T11:59:00Z","finished_at":"2026-03-02T11:59:12Z"},"status":"passed"}`
	lintIsTried  = `{"step":{"id":"s1","name":"lint"},"job":{"id":"j2","state":"running","retry_of":"j1","started_at":"2026-03-02T11:59:30Z"}}`
	lintIsFixed  = `{"step":{"id":"s1","name":"lint"},"job":{"id":"j2","state":"passed","retry_of":"j1","started_at":"2026-03-02T11:59:30Z","finished_at":"2026-03-02T11:59:50Z"},"status":"passed"}`
	otherStarts  = `{"step":{"id":"s2","name":"lint"},"job":{"id":"j3","state":"running","started_at":"2026-03-02T11:59:00Z"}}`
	lintWaits    = `{"step":{"id":"s1","name":"lint"},"job":{"id":"j1","state":"scheduled"}}`
	lintSnapshot = `{"status":"running","build":{"state":"running","status":"running","steps":[{"name":"lint","status":"running","jobs":[{"id":"j1","state":"running","exit_status":null,"finished_at":null}]}]}}`
)

func TestStepsFollowTheirJobs(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		events [][2]string
		want   [][3]string
	}{
		"waits":       {[][2]string{{"initialize", lintWaits}}, [][3]string{{"lint", "waiting", "0s"}}},
		"runs":        {[][2]string{{"initialize", lintWaits}, {"start", lintStarts}}, [][3]string{{"lint", "running", "1m00s"}}},
		"passes":      {[][2]string{{"start", lintStarts}, {"finish", lintPasses}}, [][3]string{{"lint", "passed", "12s"}}},
		"fails":       {[][2]string{{"start", lintStarts}, {"finish", lintFails}}, [][3]string{{"lint", "failed", "12s"}}},
		"tried again": {[][2]string{{"finish", lintFails}, {"start", lintIsTried}}, [][3]string{{"lint", "failing", "1m00s"}}},
		"fixed":       {[][2]string{{"finish", lintFails}, {"start", lintIsTried}, {"finish", lintIsFixed}}, [][3]string{{"lint", "fixed", "50s"}}},
		"one name, two steps": {
			[][2]string{{"start", lintStarts}, {"start", otherStarts}, {"finish", lintFails}},
			[][3]string{{"lint", "failed", "12s"}, {"lint", "running", "1m00s"}},
		},
		"a snapshot forgets no start":   {[][2]string{{"start", lintStarts}, {"status", lintSnapshot}}, [][3]string{{"lint", "running", "1m00s"}}},
		"a snapshot first":              {[][2]string{{"status", lintSnapshot}, {"start", lintStarts}}, [][3]string{{"lint", "running", "1m00s"}}},
		"a snapshot forgets no step id": {[][2]string{{"start", lintStarts}, {"status", lintSnapshot}, {"start", otherStarts}}, [][3]string{{"lint", "running", "1m00s"}, {"lint", "running", "1m00s"}}},
		"an event of another form":      {[][2]string{{"start", lintStarts}, {"finish", `{"job":7}`}, {"finish", `{}`}, {"status", `[]`}}, [][3]string{{"lint", "running", "1m00s"}}},
		"an event of another kind":      {[][2]string{{"start", lintStarts}, {"notice", `{}`}, {"later", lintFails}}, [][3]string{{"lint", "running", "1m00s"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, standing(told(t, tc.events...))); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBuildStandsAsItsStatusSays(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		events [][2]string
		want   string
	}{
		"Buildkite's word before a status": {[][2]string{{"build.running", `{"build":{"state":"running","branch":"main","created_at":"2018-07-01 20:14:38 UTC"}}`}}, "running on main"},
		"Buildkite's finer word":           {[][2]string{{"status", `{"status":"running","build":{"state":"failing","branch":"main"}}`}}, "failing on main"},
		"a status wins":                    {[][2]string{{"status", `{"status":"fixed","build":{"state":"passed","branch":"main"}}`}, {"build.finished", `{"build":{"state":"failed"}}`}}, "fixed on main"},
		"the status of the event":          {[][2]string{{"status", `{"status":"blocked","build":{"status":"running","branch":"main"}}`}}, "blocked on main"},
	} {
		b := told(t, tc.events...)
		if got := b.word() + " on " + b.Branch; got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

func TestDetailsOfAStep(t *testing.T) {
	t.Parallel()
	passed := seenJob{ID: "p", State: "passed", ExitStatus: exit(0)}
	failed := seenJob{ID: "f", State: "failed", ExitStatus: exit(3)}
	again := seenJob{ID: "g", State: "passed", RetryOf: "f"}
	var many []seenJob
	for i := range 9 {
		id := string(rune('a' + i))
		many = append(many, seenJob{ID: id, State: "expired", RetryOf: string(rune('a' + i - 1)), FinishedAt: noon.Add(time.Duration(i))})
	}
	many[0].RetryOf = ""
	for want, s := range map[string]seenStep{
		"":                                   {Status: "passed", Jobs: []seenJob{passed}},
		"exit 3":                             {Status: "failed", Jobs: []seenJob{failed}},
		"skipped":                            {Status: "passed", Jobs: []seenJob{{State: "skipped"}}},
		"attempt 2: failed (exit 3), passed": {Status: "fixed", Jobs: []seenJob{failed, again}},
		"attempt 9: expired, expired, expired, expired, expired": {Status: "failed", Jobs: many},
		"2 jobs: 1 failed, 1 passed":                             {Status: "failed", Jobs: []seenJob{passed, failed}},
		"2 jobs: 2 passed; retried 1":                            {Status: "fixed", Jobs: []seenJob{passed, failed, again}},
	} {
		if got := s.detail(); got != want {
			t.Errorf("detail is %q, want %q", got, want)
		}
	}
}
