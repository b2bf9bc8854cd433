package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
)

// shortBuild returns the deliveries of a build of one job, in order.
func shortBuild(number int, state string) []traffic.Delivery {
	build := map[string]any{
		"id": fmt.Sprint("build-", number), "number": number, "branch": fmt.Sprint("branch-", number), "state": "scheduled",
		"commit": fmt.Sprintf("%040x", number), "message": "Change a thing", "blocked": false,
		"web_url":    fmt.Sprint("https://buildkite.com/acme/web/builds/", number),
		"created_at": time.Now().UTC().Format(time.RFC3339), "started_at": nil, "finished_at": nil,
	}
	job := map[string]any{
		"id": fmt.Sprint("job-", number), "type": "script", "name": "lint", "step_key": "lint", "state": "scheduled",
		"exit_status": nil, "finished_at": nil, "soft_failed": false,
	}
	var out []traffic.Delivery
	tell := func(event string, job map[string]any) {
		payload := map[string]any{"event": event, "build": build, "pipeline": map[string]any{
			"slug": "web", "default_branch": build["branch"], "url": "https://api.buildkite.com/v2/organizations/acme/pipelines/web",
		}}
		if job != nil {
			payload["job"] = job
		}
		body, err := json.Marshal(payload)
		if err != nil {
			panic(err)
		}
		out = append(out, traffic.Delivery{Event: event, Body: body, BuildID: fmt.Sprint("build-", number)})
	}
	tell("build.scheduled", nil)
	build["state"], build["started_at"] = "running", build["created_at"]
	tell("build.running", nil)
	job["state"] = "running"
	tell("job.started", job)
	job["state"], job["finished_at"], job["exit_status"] = state, build["created_at"], 0
	if state == "failed" {
		job["exit_status"] = 1
	}
	tell("job.finished", job)
	build["state"], build["finished_at"] = state, build["created_at"]
	tell("build.finished", nil)
	return out
}
