package config_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/config"
)

func TestSimulationHasDefaults(t *testing.T) {
	t.Parallel()
	got, err := config.SimulateFlags{}.Config()
	if err != nil {
		t.Fatal(err)
	}
	want := &config.Simulate{
		Deliver: config.Deliver{URL: "http://127.0.0.1:8080"},
		Seed:    1, Builds: 100, Days: 1, Late: 0.01, Duplicates: 0.01, Reorder: 0.02,
		Speed: math.Inf(1), Pace: 5 * time.Second,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSimulationTakesADayForEachHundredBuilds(t *testing.T) {
	t.Parallel()
	for builds, days := range map[string]int{"0": 1, "100": 1, "101": 2, "730": 8} {
		got, err := config.SimulateFlags{Builds: builds}.Config()
		if err != nil {
			t.Fatal(err)
		}
		if got.Days != days {
			t.Errorf("%s builds take %d days, want %d", builds, got.Days, days)
		}
	}
}

func TestSimulationReadsWhatItIsTold(t *testing.T) {
	t.Parallel()
	flags := config.SimulateFlags{
		Seed: "18446744073709551615", Builds: "700", Days: "7", Start: "2026-02-01T12:00:00+01:00",
		Late: "0", Duplicates: "1", Reorder: "0.5", Out: "month.jsonl", Truth: "-", Speed: "1000", Pace: "1m",
	}
	got, err := flags.Config()
	if err != nil {
		t.Fatal(err)
	}
	if !got.Start.Equal(time.Date(2026, 2, 1, 11, 0, 0, 0, time.UTC)) {
		t.Errorf("it begins at %v", got.Start)
	}
	got.Start = time.Time{}
	want := &config.Simulate{
		Deliver: config.Deliver{URL: "http://127.0.0.1:8080"},
		Seed:    math.MaxUint64, Builds: 700, Days: 7, Duplicates: 1, Reorder: 0.5,
		Out: "month.jsonl", Truth: "-", Speed: 1000, Pace: time.Minute,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSimulationReportsAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		flags config.SimulateFlags
		want  []string
	}{
		"what cannot be read": {
			config.SimulateFlags{Seed: "-1", Builds: "many", Days: "0", Start: "now", Late: "2", Duplicates: "NaN", Reorder: "x", Speed: "Inf", Live: "perhaps", Pace: "0s"},
			[]string{"SEED", "BUILDS", "DAYS", "START", "LATE", "DUPLICATES", "REORDER", "SPEED", "LIVE", "PACE"},
		},
		"two streams in one":                {config.SimulateFlags{Out: "-", Truth: "-"}, []string{"TRUTH"}},
		"a file without an end":             {config.SimulateFlags{Live: "true", Out: "file"}, []string{"LIVE"}},
		"a truth without an end":            {config.SimulateFlags{Live: "true", Truth: "file"}, []string{"LIVE"}},
		"a history that ends now and later": {config.SimulateFlags{Live: "true", Start: "2026-01-05T00:00:00Z"}, []string{"LIVE"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := tc.flags.Config()
			if err == nil {
				t.Fatal("nothing is wrong with it")
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(tc.want) {
				t.Errorf("%d problems, want %d:\n%v", len(lines), len(tc.want), err)
			}
			for _, name := range tc.want {
				if !strings.Contains(err.Error(), "BUILDTRACKER_SIMULATE_"+name+" ") {
					t.Errorf("nothing is said of %s:\n%v", name, err)
				}
			}
		})
	}
}
