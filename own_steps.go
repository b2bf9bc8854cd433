package buildtracker

import (
	"time"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/buildkite"
	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/stream"
)

// stepType is the event of ours that follows from one of Buildkite's; empty for
// none.
func stepType(event string) string {
	switch event {
	case "job.scheduled":
		return stream.TypeInitialize
	case "job.started":
		return stream.TypeStart
	case "job.finished":
		return stream.TypeFinish
	}
	return ""
}

// stepEvents tells how far a job of a step is, if a delivery does. They are
// recorded with it: a watcher sees them at once, and no state is needed. Their
// id is the job's: a job is told of once, whatever else is delivered of it.
func stepEvents(d *buildkite.Delivery) []db.Own {
	typ := stepType(d.Event)
	if typ == "" {
		return nil
	}
	facts, ok := buildkite.ShownJob(d.Data)
	if !ok {
		return nil
	}
	j := build.JobOf(&facts)
	if !j.Command() {
		return nil
	}
	data := stepDataOf(j)
	if typ == stream.TypeFinish {
		data.Status = j.Outcome()
	}
	of := build.New(d.BuildID, d.Organization, d.Pipeline, d.Number)
	return []db.Own{ownEvent(of, typ, j.ID, data)}
}

// stepData is the data of the events that tell how far a job of a step is.
type stepData struct {
	Step   ownStep      `json:"step"`
	Job    ownJob       `json:"job"`
	Status build.Status `json:"status,omitempty"` // how it ended
}

type ownStep struct {
	ID   string `json:"id"`
	Key  string `json:"key"`
	Name string `json:"name"`
}

type ownJob struct {
	ID         string     `json:"id"`
	State      string     `json:"state"`
	ExitStatus *int       `json:"exit_status"`
	SoftFailed bool       `json:"soft_failed"`
	WebURL     string     `json:"web_url"`
	CreatedAt  *time.Time `json:"created_at"`
	StartedAt  *time.Time `json:"started_at"`
	FinishedAt *time.Time `json:"finished_at"`
	RetryOf    string     `json:"retry_of"`
}

func stepDataOf(j *build.Job) stepData {
	return stepData{
		Step: ownStep{ID: j.StepID, Key: j.StepKey, Name: j.Name},
		Job: ownJob{
			ID: j.ID, State: j.State, ExitStatus: j.ExitStatus, SoftFailed: j.SoftFailed, WebURL: j.WebURL,
			CreatedAt: timeOrNull(j.CreatedAt), StartedAt: timeOrNull(j.StartedAt), FinishedAt: timeOrNull(j.Latest.Time()),
			RetryOf: j.RetrySource,
		},
	}
}
