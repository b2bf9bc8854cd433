package buildkiteapi_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/buildkite/go-buildkite/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/internal/testenv/buildkiteapi"
	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
)

// all lists every build of acme.
func all(t *testing.T, s *buildkiteapi.Server, retried bool) []buildkite.Build {
	t.Helper()
	var out []buildkite.Build
	o := &buildkite.BuildsListOptions{IncludeRetriedJobs: retried, ListOptions: buildkite.ListOptions{Page: 1, PerPage: 100}}
	for o.Page > 0 {
		page, r, err := client(t, s).Builds.ListByOrg(t.Context(), "acme", o)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, page...)
		o.Page = r.NextPage
	}
	return out
}

func TestALoadedWorldIsShownAsItEnded(t *testing.T) {
	t.Parallel()
	s, _ := start(t, buildkiteapi.Options{})
	world := traffic.New(rand.New(rand.NewPCG(1, 2)).IntN, traffic.Options{Builds: 60, Triggers: true})
	s.Load(world)
	want := make(map[string]string)
	for _, b := range world.Builds {
		state := map[string]string{"fixed": "passed", "blocked": "passed blocked"}[b.Status]
		if state == "" {
			state = b.Status
		}
		want[fmt.Sprintf("%s/%d", b.Pipeline, b.Number)] = b.ID + " " + state
	}
	got := make(map[string]string)
	for _, b := range all(t, s, true) {
		state := b.State
		if b.Blocked {
			state += " blocked"
		}
		got[fmt.Sprintf("%s/%d", b.Pipeline.Slug, b.Number)] = b.ID + " " + state
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("builds (-want +got):\n%s", diff)
	}
}

func TestALoadedBuildThatPassedHasFailuresOnlyAmongRetriedJobs(t *testing.T) {
	t.Parallel()
	s, _ := start(t, buildkiteapi.Options{})
	world := traffic.New(rand.New(rand.NewPCG(3, 4)).IntN, traffic.Options{Builds: 60})
	s.Load(world)
	status := make(map[string]string)
	for _, b := range world.Builds {
		status[b.ID] = b.Status
	}
	failed := func(j buildkite.Job) bool { return !j.SoftFailed && (j.State == "failed" || j.State == "timed_out") }
	for _, b := range all(t, s, false) {
		for _, j := range b.Jobs {
			if status[b.ID] == "passed" && failed(j) {
				t.Errorf("%s passed, and job %s %s", b.WebURL, j.ID, j.State)
			}
		}
	}
	retried := 0
	for _, b := range all(t, s, true) {
		ids := make(map[string]bool)
		for _, j := range b.Jobs {
			ids[j.ID] = true
		}
		for _, j := range b.Jobs {
			if j.Retried != ids[j.RetriedInJobID] || j.Retried && !failed(j) {
				t.Errorf("%s: job %s %s, retried %v in %q", b.WebURL, j.ID, j.State, j.Retried, j.RetriedInJobID)
			}
			if j.Retried {
				retried++
			}
		}
	}
	if retried == 0 {
		t.Error("no job was retried")
	}
}
