package build

import "time"

// Facts is what one delivery says, as far as the fold reads it. A field that
// the delivery did not have is its zero value, and says nothing.
type Facts struct {
	// Event is Buildkite's name for the event, such as "build.finished".
	Event string
	// Build is always there, in the events of jobs too.
	Build BuildFacts
	// Jobs are the jobs the delivery showed: the one of a job event, all that
	// a build from the REST API lists, none for a build event.
	Jobs []JobFacts
}

// BuildFacts is one version of a build, as a payload showed it.
type BuildFacts struct {
	ID            string // Buildkite's UUID; never empty
	Organization  string // slug
	Pipeline      string // slug
	PipelineName  string
	DefaultBranch string
	Repository    string // git URL of the pipeline, any form git takes
	Number        int64
	WebURL        string
	Branch        string
	Commit        string
	Message       string
	AuthorName    string // the commit's author, else who created the build
	AuthorEmail   string
	PullRequest   string // the pull request's id, empty when there is none
	BaseBranch    string // that the pull request is for
	State         string // Buildkite's: running, passed, failed, …
	Blocked       bool
	CreatedAt     time.Time
	StartedAt     time.Time
	FinishedAt    time.Time
	// TriggeredFrom is the build whose trigger step started this one; its ID is
	// empty when none did.
	TriggeredFrom Origin
}

// Origin names the build that triggered another.
type Origin struct {
	BuildID  string `json:"build_id,omitempty"`
	Number   int64  `json:"number,omitempty"`
	Pipeline string `json:"pipeline,omitempty"`
}

// JobFacts is one version of a job, as a payload showed it.
type JobFacts struct {
	ID                 string // Buildkite's UUID; never empty
	Type               string // script, waiter, manual, trigger, …
	Name               string
	StepID             string
	StepKey            string
	State              string
	ExitStatus         *int
	SoftFailed         bool
	ParallelGroupIndex *int
	Matrix             string // the payload's matrix value as compact JSON, empty for none or null
	RetriedInJobID     string
	RetrySourceJobID   string
	WebURL             string
	CreatedAt          time.Time
	RunnableAt         time.Time // when it began to wait for an agent
	StartedAt          time.Time
	FinishedAt         time.Time
	Queue              string // of agents, empty where none is named
	// Async and TriggeredBuildID are a trigger job's.
	Async            bool
	TriggeredBuildID string
}
