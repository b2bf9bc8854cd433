package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/config"
)

func TestStatsAreOfAllAPipelineOrABranch(t *testing.T) {
	t.Parallel()
	client := config.Client{URL: "http://127.0.0.1:8080"}
	for name, tc := range map[string]struct {
		pipeline string
		flags    config.StatsFlags
		want     config.Stats
	}{
		"all":        {"", config.StatsFlags{}, config.Stats{Client: client}},
		"a pipeline": {" acme/web ", config.StatsFlags{Since: " 2026-01-05 "}, config.Stats{Client: client, Pipeline: "acme/web", Since: "2026-01-05"}},
		"a branch": {
			"acme/web",
			config.StatsFlags{Branch: "feature/x", Since: "2w", JSON: "true", ClientFlags: config.ClientFlags{URL: "https://ci/", Token: "pass"}},
			config.Stats{Client: config.Client{URL: "https://ci", Token: "pass"}, Pipeline: "acme/web", Branch: "feature/x", Since: "2w", JSON: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := tc.flags.Config(tc.pipeline)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&tc.want, got, cmp.Comparer(sameSecret)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestStatsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		pipeline string
		flags    config.StatsFlags
		want     string
	}{
		"a pipeline alone":    {"web", config.StatsFlags{}, `the pipeline is "web": write ORG/PIPELINE`},
		"a build":             {"acme/web/42", config.StatsFlags{}, "write ORG/PIPELINE"},
		"a branch of nothing": {"", config.StatsFlags{Branch: "main"}, "name that as ORG/PIPELINE"},
		"no time":             {"acme/web", config.StatsFlags{Since: "yesterday"}, `BUILDTRACKER_STATS_SINCE is "yesterday": write an age such as`},
		"neither yes nor no":  {"acme/web", config.StatsFlags{JSON: "yaml"}, "BUILDTRACKER_STATS_JSON"},
		"no web address":      {"acme/web", config.StatsFlags{ClientFlags: config.ClientFlags{URL: "ci"}}, "BUILDTRACKER_URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := tc.flags.Config(tc.pipeline); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}

func TestTimesAreAgesDaysOrTimes(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"36h":                       now.Add(-36 * time.Hour),
		"30d":                       now.AddDate(0, 0, -30),
		"0s":                        now,
		"2026-01-05":                time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC),
		"2026-01-05T09:30:00+01:00": time.Date(2026, 1, 5, 8, 30, 0, 0, time.UTC),
	} {
		got, err := config.ParseTime(text, now)
		if err != nil || !got.Equal(want) {
			t.Errorf("%s is %v, want %v: %v", text, got, want, err)
		}
	}
	for _, text := range []string{"", "-1d", "yesterday", "2026-13-01", "30"} {
		if got, err := config.ParseTime(text, now); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}
