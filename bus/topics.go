package bus

import "time"

// What the server publishes of the builds it tracks: in the process whose
// tracker folds their events, once the batch that changed them was committed. A
// process that ends in between publishes nothing of that batch; one that takes
// over may publish again what was published. So a message may be missing, and
// may come twice. Of several changes within a batch, the last is told.
//
// Messages of one build come one after another. Of one batch they come in the
// order of this list, from StepResultUpdated to StepFinished step by step.
var (
	// PipelineStarted: a build has begun, one that was triggered again too: a
	// rebuild, which is a build of its own, or a finished build that runs again
	// because a job of it was retried.
	PipelineStarted = NewTopic[Build]("pipeline-started")

	// StepResultUpdated: a job of a step was created, has started or has
	// finished. It says nothing about what readers of the server see yet.
	StepResultUpdated = NewTopic[StepUpdate]("step-result-updated")

	// StepResultUpdateConsumed: what StepResultUpdated told, and its subscribers
	// have handled, is stored. Who reads the build now finds it so, or later.
	StepResultUpdateConsumed = NewTopic[StepUpdate]("step-result-update-consumed")

	// StepFinished: the last unfinished job of a step has finished; the result
	// is final. If another job of the step comes after that, such as a retry, it
	// finishes once more.
	StepFinished = NewTopic[StepUpdate]("step-finished")

	// PipelineFinished: a build has finished, or has finished again.
	PipelineFinished = NewTopic[PipelineResult]("pipeline-finished")
)

// Build says which build it is.
type Build struct {
	// ID is Buildkite's, a UUID. It stays the same when jobs are retried.
	ID string
	// Organization and Pipeline are slugs; with Number they are its address.
	Organization, Pipeline string
	// Number counts a pipeline's builds, from 1.
	Number int64
	// Branch it builds; empty while no delivery has told.
	Branch string
	// URL is its page at Buildkite; empty while no delivery has told.
	URL string
}

// Step says which step of a build's pipeline it is: by ID, where there is none
// by Key, where there is none by Name.
type Step struct {
	// ID is Buildkite's, a UUID; it may be empty.
	ID string
	// Key is the one that the pipeline's author gave it; mostly empty.
	Key string
	// Name is its label.
	Name string
}

// StepUpdate is how a step of a build stands.
type StepUpdate struct {
	Build  Build
	Result StepResult
}

// PipelineResult is how a build has ended.
type PipelineResult struct {
	Build Build
	// Status is "passed", "failed", "fixed" (passed after it had failed, or
	// after a retry), "canceled", "blocked" or "unknown".
	Status string
	// Steps are the results of all steps of the build itself, not of builds
	// that it triggered, in the order in which their first jobs were created.
	Steps []StepResult
}

// StepResult is what came of a step up to now.
type StepResult struct {
	Step Step
	// Status is "passed", "failed", or "fixed" (passed after a retry), and
	// "running" while none has failed and a job has not finished.
	Status string
	// Jobs are all that the step ran, retries and parallel jobs too: those that
	// are retries of each other together, the latest last.
	Jobs []Job
}

// Job is one attempt at one job of a step.
type Job struct {
	// ID is Buildkite's, a UUID. A retry has one of its own.
	ID string
	// State is Buildkite's word for it, such as "scheduled", "running",
	// "passed", "failed", "timed_out" or "canceled".
	State string
	// ExitStatus is its command's; nil while there is none.
	ExitStatus *int
	// SoftFailed: it failed, and its author said that this does not count.
	SoftFailed bool
	// URL is its page at Buildkite; it may be empty.
	URL string
	// CreatedAt, StartedAt and FinishedAt are Buildkite's times; zero for what
	// has not happened.
	CreatedAt, StartedAt, FinishedAt time.Time
	// RetryOf is the ID of the job that this one retries; empty for none.
	RetryOf string
}
