package build

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestSnapshotTellsMoreOfJobs holds what status events show, and that the API does
// not show it.
func TestSnapshotTellsMoreOfJobs(t *testing.T) {
	t.Parallel()
	at := func(second int) time.Time { return time.Date(2026, 1, 2, 3, 4, second, 0, time.UTC) }
	b := New("b", "acme", "web", 1)
	b.Apply(&Facts{Event: "job.finished", Jobs: []JobFacts{
		{
			ID: "j1", Type: "script", Name: "lint", StepKey: "k", State: "failed", RetriedInJobID: "j2",
			CreatedAt: at(1), RunnableAt: at(2), StartedAt: at(5), FinishedAt: at(9), Queue: "deploy",
		},
		{ID: "j2", Type: "script", Name: "lint", StepKey: "k", State: "passed", RetrySourceJobID: "j1", FinishedAt: at(20)},
	}})
	steps := func(v View) string {
		text, err := json.MarshalIndent(v.Steps, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	brief := `[
 {
  "name": "lint",
  "status": "fixed",
  "jobs": [
   {
    "id": "j1",
    "state": "failed",
    "exit_status": null,
    "soft_failed": false,
    "web_url": "",
    "finished_at": "2026-01-02T03:04:09Z"
   },
   {
    "id": "j2",
    "state": "passed",
    "exit_status": null,
    "soft_failed": false,
    "web_url": "",
    "finished_at": "2026-01-02T03:04:20Z"
   }
  ]
 }
]`
	detailed := `[
 {
  "name": "lint",
  "key": "k",
  "status": "fixed",
  "jobs": [
   {
    "id": "j1",
    "state": "failed",
    "exit_status": null,
    "soft_failed": false,
    "web_url": "",
    "finished_at": "2026-01-02T03:04:09Z",
    "created_at": "2026-01-02T03:04:01Z",
    "runnable_at": "2026-01-02T03:04:02Z",
    "started_at": "2026-01-02T03:04:05Z",
    "retry_of": "",
    "queue": "deploy"
   },
   {
    "id": "j2",
    "state": "passed",
    "exit_status": null,
    "soft_failed": false,
    "web_url": "",
    "finished_at": "2026-01-02T03:04:20Z",
    "created_at": null,
    "runnable_at": null,
    "started_at": null,
    "retry_of": "j1",
    "queue": ""
   }
  ]
 }
]`
	if diff := cmp.Diff(brief, steps(b.View())); diff != "" {
		t.Errorf("the API (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(detailed, steps(b.Snapshot())); diff != "" {
		t.Errorf("a snapshot (-want +got):\n%s", diff)
	}
}
