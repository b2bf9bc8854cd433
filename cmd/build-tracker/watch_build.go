package main

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// envelope is an event of the stream, as far as somebody who watches needs it.
type envelope struct {
	Organization string          `json:"organization"`
	Pipeline     string          `json:"pipeline"`
	Number       int64           `json:"number"`
	Type         string          `json:"type"`
	Time         time.Time       `json:"time"`
	Data         json.RawMessage `json:"data"`
}

// tells decodes the data, and says whether it is of the form that is expected.
func (e *envelope) tells(data any) bool { return json.Unmarshal(e.Data, data) == nil }

// statusData is what a status event tells.
type statusData struct {
	Status   string    `json:"status"`
	Previous string    `json:"previous"`
	Build    seenBuild `json:"build"`
}

// jobData is what initialize, start and finish tell.
type jobData struct {
	Step struct {
		ID   string `json:"id"`
		Key  string `json:"key"`
		Name string `json:"name"`
	} `json:"step"`
	Job seenJob `json:"job"`
}

// seenBuild is a build as its events tell it. Texts are as they came: they
// become printable where they are shown.
type seenBuild struct {
	ownWords
	Status              string     `json:"status"`
	ConsecutiveFailures int        `json:"consecutive_failures"`
	FirstFailedNumber   int64      `json:"first_failed_number"`
	CreatedAt           time.Time  `json:"created_at"`
	StartedAt           time.Time  `json:"started_at"`
	FinishedAt          time.Time  `json:"finished_at"`
	Steps               []seenStep `json:"steps"`
}

// ownWords are what Buildkite calls the same as we do.
type ownWords struct {
	WebURL  string `json:"web_url"`
	Branch  string `json:"branch"`
	Commit  string `json:"commit"`
	Message string `json:"message"`
	State   string `json:"state"`
}

// seenStep is a step with its attempts, chain by chain.
type seenStep struct {
	// id tells steps of one name apart; empty until an event told it.
	id     string
	Name   string    `json:"name"`
	Status string    `json:"status"`
	Jobs   []seenJob `json:"jobs"`
}

// seenJob is an attempt.
type seenJob struct {
	ID         string    `json:"id"`
	State      string    `json:"state"`
	ExitStatus *int      `json:"exit_status"`
	SoftFailed bool      `json:"soft_failed"`
	StartedAt  time.Time `json:"started_at"`
	FinishedAt time.Time `json:"finished_at"`
	RetryOf    string    `json:"retry_of"`
}

// take folds an event in. Data of another form than expected changes nothing.
func (b *seenBuild) take(e *envelope) {
	switch e.Type {
	case "status":
		var told statusData
		if e.tells(&told) {
			told.Build.remember(b)
			told.Build.Status = cmp.Or(told.Status, told.Build.Status)
			*b = told.Build
		}
	case "initialize", "start", "finish":
		var told jobData
		if e.tells(&told) && told.Job.ID != "" {
			b.takeJob(&told)
		}
	default:
		// What Buildkite told itself counts until there is a status.
		var told struct{ Build ownWords }
		if b.Status == "" && strings.HasPrefix(e.Type, "build.") && e.tells(&told) {
			b.ownWords = told.Build
		}
	}
}

// remember adds to a snapshot what only the events before it told.
func (b *seenBuild) remember(before *seenBuild) {
	type memory struct {
		step string
		job  seenJob
	}
	jobs := make(map[string]memory)
	for _, s := range before.Steps {
		for _, j := range s.Jobs {
			jobs[j.ID] = memory{s.id, j}
		}
	}
	for i := range b.Steps {
		s := &b.Steps[i]
		for k := range s.Jobs {
			j := &s.Jobs[k]
			if m, ok := jobs[j.ID]; ok {
				s.id = cmp.Or(s.id, m.step)
				j.RetryOf = cmp.Or(j.RetryOf, m.job.RetryOf)
				if j.StartedAt.IsZero() {
					j.StartedAt = m.job.StartedAt
				}
			}
		}
	}
}

// takeJob puts a job into its step until the next snapshot does.
func (b *seenBuild) takeJob(told *jobData) {
	s := b.stepOf(told)
	if i := slices.IndexFunc(s.Jobs, func(j seenJob) bool { return j.ID == told.Job.ID }); i >= 0 {
		s.Jobs[i] = told.Job
	} else {
		s.Jobs = append(s.Jobs, told.Job)
	}
	s.Status = s.standing()
}

// stepOf returns the step of a job: the one that has it or what it retries, else
// the one of its id, else of its name, else a new one.
func (b *seenBuild) stepOf(told *jobData) *seenStep {
	id := cmp.Or(told.Step.ID, told.Step.Key)
	for _, is := range []func(s *seenStep) bool{
		func(s *seenStep) bool {
			return slices.ContainsFunc(s.Jobs, func(j seenJob) bool { return j.ID == told.Job.ID || j.ID == told.Job.RetryOf })
		},
		func(s *seenStep) bool { return id != "" && s.id == id },
		func(s *seenStep) bool { return (id == "" || s.id == "") && s.Name == told.Step.Name },
	} {
		for i := range b.Steps {
			if s := &b.Steps[i]; is(s) {
				s.id = cmp.Or(s.id, id)
				return s
			}
		}
	}
	b.Steps = append(b.Steps, seenStep{id: id, Name: told.Step.Name, Status: "running"})
	return &b.Steps[len(b.Steps)-1]
}
