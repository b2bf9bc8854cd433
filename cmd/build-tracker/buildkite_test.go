package main

import (
	"fmt"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/build-tracker/build-tracker/internal/testenv/buildkiteapi"
)

// fakeBuildkite starts a stand-in for Buildkite's API and has the variables say how it
// is asked: the command buildkite works, with two finished builds of acme/web, or fails, which
// knows no organization.
func fakeBuildkite(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 || args[0] != "works" && args[0] != "fails" {
		ts.Fatalf("usage: buildkite works|fails")
	}
	api, err := buildkiteapi.New(buildkiteapi.Options{})
	ts.Check(err)
	ts.Defer(func() { ts.Check(api.Close()) })
	ts.Setenv("BUILDKITE_API_URL", api.URL())
	ts.Setenv("BUILDKITE_TOKEN", api.Token())
	if args[0] == "fails" {
		return
	}
	for number := range 2 {
		finished := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
		api.Put("acme", "web", map[string]any{
			"number": number + 1, "state": "failed", "branch": "main", "finished_at": finished,
			"jobs": []any{map[string]any{
				"id": fmt.Sprint("job-", number), "type": "script", "name": "test", "state": "failed", "exit_status": 1, "finished_at": finished,
			}},
		})
	}
}
