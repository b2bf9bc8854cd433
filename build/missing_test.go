package build_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/build"
)

func TestMissingIsWhatALaterVersionShows(t *testing.T) {
	t.Parallel()
	at := func(second int) time.Time { return time.Date(2024, 5, 1, 10, 0, second, 0, time.UTC) }
	job := func(id, state string, finished time.Time) build.JobFacts {
		return build.JobFacts{ID: id, Type: "script", State: state, FinishedAt: finished}
	}
	finished := build.BuildFacts{State: "failed", FinishedAt: at(9)}
	known := build.New("b", "acme", "web", 1)
	known.Apply(&build.Facts{Build: finished, Jobs: []build.JobFacts{job("a", "failed", at(5)), job("b", "running", time.Time{})}})
	for name, c := range map[string]struct {
		known *build.Build
		shown build.Facts
		want  build.Missing
	}{
		"nothing, where all is as it is known": {
			known, build.Facts{Build: finished, Jobs: []build.JobFacts{job("a", "failed", at(5))}}, build.Missing{},
		},
		"nothing, where less is shown":   {known, build.Facts{Build: build.BuildFacts{State: "running"}}, build.Missing{}},
		"all of a build that is unknown": {nil, build.Facts{Build: finished, Jobs: []build.JobFacts{job("a", "failed", at(5))}}, build.Missing{Build: true, Jobs: []string{"a"}}},
		"a later finish":                 {known, build.Facts{Build: build.BuildFacts{State: "passed", FinishedAt: at(10)}}, build.Missing{Build: true}},
		"a more final state of one time": {known, build.Facts{Build: build.BuildFacts{State: "canceled", FinishedAt: at(9)}}, build.Missing{Build: true}},
		"the finish of a job": {
			known,
			build.Facts{Build: finished, Jobs: []build.JobFacts{job("b", "passed", at(8)), job("a", "failed", at(5)), job("c", "timed_out", at(6))}},
			build.Missing{Jobs: []string{"b", "c"}},
		},
		"no job that did not run": {
			nil,
			build.Facts{Jobs: []build.JobFacts{
				job("a", "broken", time.Time{}), job("b", "running", time.Time{}), {ID: "c", Type: "waiter", State: "finished", FinishedAt: at(3)},
			}},
			build.Missing{},
		},
		"a job that triggered a build": {
			known,
			build.Facts{Build: finished, Jobs: []build.JobFacts{{ID: "t", Type: "trigger", State: "passed", FinishedAt: at(7)}}},
			build.Missing{Jobs: []string{"t"}},
		},
		"a job that expired, without a time": {
			known, build.Facts{Build: finished, Jobs: []build.JobFacts{job("e", "expired", time.Time{})}}, build.Missing{Jobs: []string{"e"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := build.MissingIn(c.known, &c.shown)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("missing (-want +got):\n%s", diff)
			}
			if got.None() != (name[:7] == "nothing" || name == "no job that did not run") {
				t.Errorf("None is %v", got.None())
			}
		})
	}
}
