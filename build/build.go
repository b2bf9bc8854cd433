package build

import "time"

// Build is the state of one build: what its deliveries add up to. Apply folds
// deliveries in; Status, Steps and the rest are computed from it.
//
// The JSON form is how it is stored, in Redis and in its row; what users see
// is View.
type Build struct {
	ID           string    `json:"id"`
	Organization string    `json:"org"`
	Pipeline     string    `json:"pipeline"`
	Number       int64     `json:"number"`
	WebURL       string    `json:"web_url,omitempty"`
	CreatedAt    time.Time `json:"created_at,omitzero"`
	StartedAt    time.Time `json:"started_at,omitzero"`

	// Latest is the version that wins; State and Blocked are that version's.
	Latest  Version `json:"latest,omitzero"`
	State   string  `json:"state,omitempty"`
	Blocked bool    `json:"blocked,omitempty"`
	// FirstFailed is the earliest finish with state failed; zero for none.
	FirstFailed Version `json:"first_failed,omitzero"`

	PipelineName  Stamped `json:"pipeline_name,omitzero"`
	DefaultBranch Stamped `json:"default_branch,omitzero"`
	Repository    Stamped `json:"repository,omitzero"`
	Branch        Stamped `json:"branch,omitzero"`
	Commit        Stamped `json:"commit,omitzero"`
	Message       Stamped `json:"message,omitzero"`
	AuthorName    Stamped `json:"author_name,omitzero"`
	AuthorEmail   Stamped `json:"author_email,omitzero"`
	PullRequest   Stamped `json:"pull_request,omitzero"`
	BaseBranch    Stamped `json:"base_branch,omitzero"`

	// Parent is the build that triggered this one.
	Parent Origin `json:"parent,omitzero"`

	// Jobs by id: every attempt that was ever shown.
	Jobs map[string]*Job `json:"jobs,omitempty"`

	// What follows is not this build's own: it depends on other builds, and
	// the tracker sets it.

	// Children by build id: what the builds that this one triggered lend it.
	Children map[string]Child `json:"children,omitempty"`
	// Streak is its place in the row of failures of its branch.
	Streak Streak `json:"streak,omitzero"`

	// Rev is the highest position in the stream that influenced this state:
	// an event of its own, of an earlier build of the row, or of a child.
	Rev int64 `json:"rev"`
	// LastSeq is the seq of its last event folded in; -1 before the first.
	LastSeq int64 `json:"last_seq"`
}

// Job is the state of one job: the latest version shown of it.
type Job struct {
	ID                 string    `json:"id"`
	Latest             Version   `json:"latest,omitzero"`
	State              string    `json:"state,omitempty"`
	ExitStatus         *int      `json:"exit,omitempty"`
	SoftFailed         bool      `json:"soft,omitempty"`
	Type               string    `json:"type,omitempty"`
	Name               string    `json:"name,omitempty"`
	StepID             string    `json:"step_id,omitempty"`
	StepKey            string    `json:"step_key,omitempty"`
	ParallelGroupIndex *int      `json:"parallel,omitempty"`
	Matrix             string    `json:"matrix,omitempty"`
	RetriedIn          string    `json:"retried_in,omitempty"`
	RetrySource        string    `json:"retry_source,omitempty"`
	WebURL             string    `json:"web_url,omitempty"`
	CreatedAt          time.Time `json:"created_at,omitzero"`
	RunnableAt         time.Time `json:"runnable_at,omitzero"`
	StartedAt          time.Time `json:"started_at,omitzero"`
	Queue              string    `json:"queue,omitempty"`
	Async              bool      `json:"async,omitempty"`
	TriggeredBuildID   string    `json:"triggered,omitempty"`
}

// Child is what a triggered build lends the build that triggered it: its
// failed steps, its own children's included, once it has finished.
type Child struct {
	Organization string       `json:"org"`
	Pipeline     string       `json:"pipeline"`
	Number       int64        `json:"number"`
	Status       Status       `json:"status"`
	Failed       []FailedStep `json:"failed,omitempty"`
}

// FailedStep names a failed step of a triggered build.
type FailedStep struct {
	// Name is the step's, under its pipeline's: "deploy: smoke test".
	Name string `json:"name"`
	// WebURL is the failed job's page; it may be empty.
	WebURL string `json:"web_url,omitempty"`
	// Uncounted: an async or soft-failed trigger started that build. It is
	// listed, and does not count among what failed.
	Uncounted bool `json:"uncounted,omitempty"`
}

// Streak is a build's place in the row of consecutive failures of its
// organization, pipeline and branch.
type Streak struct {
	// Failures counts the builds in a row that failed, up to this one.
	Failures int `json:"failures,omitempty"`
	// FirstFailed is the number of the first of them; 0 when there is none.
	FirstFailed int64 `json:"first,omitempty"`
	// LastPassed is the number of the latest build, up to this one, that ended
	// a row; 0 when there is none.
	LastPassed int64 `json:"last_passed,omitempty"`
}

// Status is our word for how a build or a step stands.
type Status string

// The statuses of builds. Steps have Running, Passed, Failed and Fixed.
const (
	Running  Status = "running"
	Passed   Status = "passed"
	Failed   Status = "failed"
	Fixed    Status = "fixed"
	Canceled Status = "canceled"
	Blocked  Status = "blocked"
	Unknown  Status = "unknown"
)
