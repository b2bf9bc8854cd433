package notify_test

import (
	"fmt"
	"time"

	"github.com/build-tracker/build-tracker/build"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// finished returns acme/web's build 42 on main after it finished with a state.
func finished(state string, at time.Time) *build.Build {
	b := build.New("b-42", "acme", "web", 42)
	apply(b, state, at)
	b.Rev = 1
	return b
}

func apply(b *build.Build, state string, at time.Time) {
	b.Apply(&build.Facts{Build: build.BuildFacts{
		ID: b.ID, State: state, FinishedAt: at, Branch: "main", DefaultBranch: "main",
		PipelineName: "Web", Repository: "git@github.com:acme/web.git", Commit: "0123456789abcdef0123456789abcdef01234567",
		Message: "Fix the flux\n\nLong story", WebURL: fmt.Sprintf("https://buildkite.com/acme/web/builds/%d", b.Number),
		AuthorName: "Ann Author", AuthorEmail: "ann@example.com",
	}})
}

// addJob adds a job of a step of its own that finished with a state.
func addJob(b *build.Build, id, name, state string) {
	at := noon.Add(time.Duration(len(b.Jobs)) * time.Second)
	b.Apply(&build.Facts{Jobs: []build.JobFacts{{
		ID: id, Type: "script", Name: name, State: state, StepID: "step-" + id,
		WebURL: b.WebURL + "#" + id, CreatedAt: at, FinishedAt: at,
	}}})
}

// addRetry adds a job that failed and its retry that passed.
func addRetry(b *build.Build, id, name string) {
	at := noon.Add(time.Duration(len(b.Jobs)) * time.Second)
	job := build.JobFacts{
		ID: id, Type: "script", Name: name, State: "failed", StepID: "step-" + id, WebURL: b.WebURL + "#" + id,
		CreatedAt: at, FinishedAt: at, RetriedInJobID: id + "-retry",
	}
	retry := job
	retry.ID, retry.State, retry.RetriedInJobID, retry.RetrySourceJobID = id+"-retry", "passed", "", id
	retry.CreatedAt, retry.FinishedAt = at.Add(time.Second), at.Add(2*time.Second)
	b.Apply(&build.Facts{Jobs: []build.JobFacts{job, retry}})
}
