package simulate

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// seen are the kinds of traffic that a simulation shows, with how often.
func seen(t *testing.T, s *Simulation) map[string]int {
	t.Helper()
	kinds := make(map[string]int)
	parents := make(map[string]string)
	for d := range s.Deliveries() {
		kinds[d.Event]++
		var p payload
		if err := json.Unmarshal(d.Body, &p); err != nil {
			t.Fatal(err)
		}
		note := func(what string, is bool) {
			if is {
				kinds[what]++
			}
		}
		if b := p.Build; b != nil {
			finished := d.Event == "build.finished"
			note("blocked", finished && b.Blocked && b.State == "passed")
			note("canceled", finished && b.State == "canceled")
			note("finish of a build that runs again", finished && (b.State == "running" || b.State == "failing"))
			note("pull request", b.PullRequest != nil)
			note("default branch", b.Branch == p.Pipeline.DefaultBranch)
			note("feature branch", b.Branch != p.Pipeline.DefaultBranch)
			note("message of several lines", strings.Contains(b.Message, "\n"))
			note("markup", strings.Contains(b.Message, "<"))
			note("beyond ASCII", strings.ContainsFunc(b.Message, func(r rune) bool { return r > 127 }))
			for _, source := range []string{"webhook", "ui", "schedule", "trigger_job"} {
				note("source "+source, b.Source == source)
			}
			if up := b.TriggeredFrom; up != nil {
				parents[b.ID] = up.BuildID
				note("grandchild", parents[up.BuildID] != "")
			}
		}
		if j := p.Job; j != nil {
			finished := d.Event == "job.finished"
			note("type "+j.Type, true)
			note("job "+j.State, finished)
			note("parallel", j.ParallelGroupTotal != nil)
			note("matrix", j.Matrix != nil)
			note("soft failure", finished && j.SoftFailed && j.Type == "script")
			note("retried", finished && j.RetriedInJobID != nil)
			note("async trigger", j.Async != nil && *j.Async)
			note("sync trigger", j.Async != nil && !*j.Async)
			note("soft-failed trigger", j.Type == "trigger" && j.SoftFailed)
			note("retry", j.RetrySource != nil)
			if j.RetrySource != nil {
				note("retry "+j.RetrySource.RetryType, true)
			}
			note("later version than the event's", d.Event == "job.started" && j.State != "running")
		}
	}
	return kinds
}

func TestEveryKindOfTrafficOccurs(t *testing.T) {
	t.Parallel()
	s := week(t, func(o *Options) { o.Builds, o.Days = 400, 10 })
	kinds := seen(t, s)
	for _, b := range s.Truth() {
		kinds["status "+b.Status]++
		kinds["organization "+b.Organization]++
		text, err := json.Marshal(b.Announce)
		if err != nil {
			t.Fatal(err)
		}
		kinds["announce "+string(text)]++
		if b.ConsecutiveFailures > 3 {
			kinds["row of four"]++
		}
	}
	for _, kind := range []string{
		"build.scheduled", "build.running", "build.failing", "build.finished", "build.skipped",
		"job.scheduled", "job.started", "job.finished", "job.activated",
		"agent.connected", "agent.lost", "agent.disconnected", "agent.stopping", "agent.stopped",
		"blocked", "canceled", "finish of a build that runs again", "grandchild",
		"default branch", "feature branch", "pull request", "message of several lines", "markup", "beyond ASCII",
		"source webhook", "source ui", "source schedule", "source trigger_job",
		"type script", "type waiter", "type manual", "type trigger",
		"job passed", "job failed", "job timed_out", "job canceled", "later version than the event's",
		"parallel", "matrix", "soft failure", "retried", "retry automatic", "retry manual",
		"async trigger", "sync trigger", "soft-failed trigger",
		"organization acme", "organization globex", "organization initech", "row of four",
		"status passed", "status failed", "status fixed", "status canceled", "status blocked", "status unknown",
		"announce true", "announce false", "announce null",
	} {
		if kinds[kind] == 0 {
			t.Errorf("nothing is %q among %v", kind, slices.Sorted(maps.Keys(kinds)))
		}
	}
	if passed := float64(kinds["status passed"]+kinds["status fixed"]) / float64(s.Builds()); passed < 0.5 || passed > 0.9 {
		t.Errorf("%.2f of the builds pass", passed)
	}
	// What depends on how fast deliveries come tells a test nothing.
	if kinds["announce null"] > kinds["announce true"] {
		t.Errorf("%d messages are open, and %d decided", kinds["announce null"], kinds["announce true"])
	}
}

func TestWorkIsDoneInWorkingHours(t *testing.T) {
	t.Parallel()
	s := week(t, line(0, 0, 0))
	var day, night, weekend float64 // builds an hour
	for d := range s.Deliveries() {
		if d.Event != "build.scheduled" {
			continue
		}
		switch h := d.At.Hour(); {
		case !isWorkday(d.At):
			weekend += 1.0 / 48
		case h >= 9 && h < 18:
			day += 1.0 / 45
		case h < 7 || h >= 21:
			night += 1.0 / 50
		}
	}
	if day < 5*night || day < 5*weekend || night == 0 || weekend == 0 {
		t.Errorf("%.2f builds an hour by day, %.2f by night, %.2f on the weekend", day, night, weekend)
	}
}

func TestOnTheBadDayNothingPasses(t *testing.T) {
	t.Parallel()
	s := week(t, line(0, 0, 0))
	if s.badDay.IsZero() || !isWorkday(s.badDay) {
		t.Fatalf("the bad day is %v", s.badDay)
	}
	bad, passed := make(map[string]bool), 0
	for d := range s.Deliveries() {
		if d.Event == "build.scheduled" && s.isBad(d.At) {
			bad[d.Build] = true
		}
	}
	for _, b := range s.Truth() {
		if bad[b.ID] && (b.Status == "passed" || b.Status == "fixed") {
			passed++
		}
	}
	if len(bad) < 10 || passed > len(bad)/5 {
		t.Errorf("on the bad day %d of %d builds pass", passed, len(bad))
	}
	short := week(t, func(o *Options) { o.Days = 4 })
	if !short.badDay.Equal(time.Time{}) {
		t.Errorf("four days have a bad one: %v", short.badDay)
	}
}
