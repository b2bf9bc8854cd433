package load_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/buildkite"
	"github.com/build-tracker/build-tracker/internal/bench/load"
)

func newMaker(t *testing.T) *load.Maker {
	t.Helper()
	m, err := load.NewMaker(1)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestDeliveriesAreTakenAsWhatTheySay parses them as the server does.
func TestDeliveriesAreTakenAsWhatTheySay(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		shape  load.Shape
		events []string
	}{
		"whole": {load.Shape{Jobs: 2}, []string{
			"build.scheduled", "build.running", "job.scheduled", "job.started", "job.finished",
			"job.scheduled", "job.started", "job.finished", "build.finished",
		}},
		"only how it ended": {load.Shape{Jobs: 2, Finishes: true}, []string{"job.finished", "job.finished", "build.finished"}},
		"without jobs":      {load.Shape{Finishes: true}, []string{"build.finished"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newMaker(t).Build(load.BuildOptions{
				Pipeline: "web", Branch: "main", Number: 7, Failed: true, Shape: tc.shape, Finished: time.Now(),
			})
			folded := build.New(b.ID, load.Organization, "web", 7)
			keys := make(map[[32]byte]bool)
			var events []string
			for n := range b.Deliveries() {
				d := b.Delivery(n, nil)
				events = append(events, d.Event)
				if len(d.Body) < 5500 || len(d.Body) > 6700 {
					t.Errorf("%s has %d bytes, which is not about 6 KB", d.Event, len(d.Body))
				}
				p, err := buildkite.Parse(d.Body, buildkite.Options{})
				if err != nil {
					t.Fatalf("%s: %v", d.Event, err)
				}
				if p.Event != d.Event || p.BuildID != d.BuildID || p.JobID != d.JobID || p.BuildID != b.ID || p.Number != 7 || p.Pipeline != "web" {
					t.Errorf("%s says %s of build %s of %s, job %q", d.Event, p.Event, p.BuildID, p.Pipeline, p.JobID)
				}
				if keys[p.Key] {
					t.Errorf("%s is a duplicate", d.Event)
				}
				keys[p.Key] = true
				facts, err := buildkite.Facts(p.Data)
				if err != nil {
					t.Fatal(err)
				}
				folded.Apply(&facts)
			}
			if diff := cmp.Diff(tc.events, events); diff != "" {
				t.Error(diff)
			}
			if got := folded.Status(); got != build.Failed {
				t.Errorf("the build is %s", got)
			}
			if len(folded.Jobs) != tc.shape.Jobs {
				t.Errorf("%d jobs, want %d", len(folded.Jobs), tc.shape.Jobs)
			}
		})
	}
}

func TestTrafficNumbersEachPipelinesBuildsInOrder(t *testing.T) {
	t.Parallel()
	traffic, err := load.NewTraffic(load.TrafficOptions{Seed: 1, Pipelines: 3, Shape: load.Shape{Jobs: 1}})
	if err != nil {
		t.Fatal(err)
	}
	last := make(map[string]int64)
	ids := make(map[string]bool)
	failed, byDefault := 0, 0
	const builds = 1200
	for _, b := range traffic.Builds(builds) {
		if b.Number != last[b.Pipeline]+1 {
			t.Fatalf("build %d of %s follows build %d", b.Number, b.Pipeline, last[b.Pipeline])
		}
		last[b.Pipeline] = b.Number
		ids[b.ID] = true
		if b.Failed {
			failed++
		}
		if b.Branch == "main" {
			byDefault++
		}
	}
	if len(ids) != builds || len(last) != 3 {
		t.Errorf("%d ids in %d pipelines", len(ids), len(last))
	}
	if byDefault != builds/4 || failed < builds/20 || failed > builds/5 {
		t.Errorf("of %d builds %d are on main and %d failed", builds, byDefault, failed)
	}
}
