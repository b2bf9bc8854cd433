package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/config"
)

func TestWatchFollowsABuildOrAPipeline(t *testing.T) {
	t.Parallel()
	client := config.Client{URL: "http://127.0.0.1:8080"}
	for name, tc := range map[string]struct {
		build string
		flags config.WatchFlags
		want  config.Watch
	}{
		"a build": {
			"acme/web/42",
			config.WatchFlags{},
			config.Watch{Client: client, Organization: "acme", Pipeline: "web", Number: 42},
		},
		"a build from an event on": {
			" acme/web/42 ",
			config.WatchFlags{From: " 7 ", JSON: "true"},
			config.Watch{Client: client, Organization: "acme", Pipeline: "web", Number: 42, From: 7, JSON: true},
		},
		"a pipeline": {
			"",
			config.WatchFlags{Pipeline: "acme/web", ClientFlags: config.ClientFlags{URL: "https://ci/", Token: "pass"}},
			config.Watch{Client: config.Client{URL: "https://ci", Token: "pass"}, Organization: "acme", Pipeline: "web"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := tc.flags.Config(tc.build)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&tc.want, got, cmp.Comparer(sameSecret)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWatchSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		build string
		flags config.WatchFlags
		want  string
	}{
		"nothing":                   {"", config.WatchFlags{}, "nothing to watch: name a build as ORG/PIPELINE/NUMBER"},
		"both":                      {"acme/web/42", config.WatchFlags{Pipeline: "acme/web"}, "leave out one of them"},
		"no number":                 {"acme/web", config.WatchFlags{}, "write ORG/PIPELINE/NUMBER"},
		"no organization":           {"/web/42", config.WatchFlags{}, "write ORG/PIPELINE/NUMBER"},
		"a word for a number":       {"acme/web/latest", config.WatchFlags{}, `the build's number is "latest"`},
		"a number that cannot be":   {"acme/web/0", config.WatchFlags{}, `the build's number is "0"`},
		"more than a build":         {"acme/web/42/events", config.WatchFlags{}, "write ORG/PIPELINE/NUMBER"},
		"a pipeline alone":          {"", config.WatchFlags{Pipeline: "web"}, "write ORG/PIPELINE, such as"},
		"more than a pipeline":      {"", config.WatchFlags{Pipeline: "acme/web/42"}, "write ORG/PIPELINE, such as"},
		"no event":                  {"acme/web/42", config.WatchFlags{From: "-1"}, `BUILDTRACKER_WATCH_FROM is "-1"`},
		"an event of all builds":    {"", config.WatchFlags{Pipeline: "acme/web", From: "1"}, "leave it out with --pipeline"},
		"something else than a yes": {"acme/web/42", config.WatchFlags{JSON: "yaml"}, "BUILDTRACKER_WATCH_JSON"},
		"no web address":            {"acme/web/42", config.WatchFlags{ClientFlags: config.ClientFlags{URL: "ci"}}, "BUILDTRACKER_URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := tc.flags.Config(tc.build); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}
