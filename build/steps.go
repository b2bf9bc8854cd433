package build

import (
	"cmp"
	"slices"
)

// Step is the jobs of one build that came from one step of its pipeline.
type Step struct {
	Name string
	// Status is Failed, Fixed or Passed; Running while the build runs, no job
	// of the step has failed and one has not finished.
	Status Status
	// Chains are the attempt chains: one for each job of a parallel or matrix
	// step, one for any other.
	Chains []Chain
}

// Chain is a job and its retries, the latest attempt last.
type Chain []*Job

// Last returns the latest attempt.
func (c Chain) Last() *Job { return c[len(c)-1] }

// Status is Failed when the latest finished attempt failed, Fixed when it
// passed after one that failed, else Passed; Running when no attempt has finished.
func (c Chain) Status() Status {
	var last *Job
	failed := false
	for _, j := range c {
		if !j.Finished() {
			continue
		}
		failed = failed || j.Failed()
		last = j
	}
	switch {
	case last == nil:
		return Running
	case last.Failed():
		return Failed
	case failed && last.passed():
		return Fixed
	}
	return Passed
}

// lastFinished returns the latest finished attempt; nil for none.
func (c Chain) lastFinished() *Job {
	for _, j := range slices.Backward(c) {
		if j.Finished() {
			return j
		}
	}
	return nil
}

// Finished says whether the job is in a final state.
func (j *Job) Finished() bool { return j.Latest.Rank >= finalJob }

// Failed says whether this attempt failed: it counts (no soft failure), and it
// failed, timed out, expired, or left an exit status other than 0 without
// being canceled, skipped or broken (its condition was false).
func (j *Job) Failed() bool {
	if j.SoftFailed || !j.Finished() {
		return false
	}
	switch j.State {
	case "failed", "timed_out", "expired":
		return true
	case "canceled", "skipped", "broken":
		return false
	}
	return j.ExitStatus != nil && *j.ExitStatus != 0
}

// Outcome is how a job ended: Failed, Passed (softly failed ones too), Canceled,
// or Unknown for one that was skipped or whose condition was false; Running
// before its end.
func (j *Job) Outcome() Status {
	switch {
	case !j.Finished():
		return Running
	case j.Failed():
		return Failed
	case j.State == "canceled":
		return Canceled
	case j.passed() || j.SoftFailed:
		return Passed
	}
	return Unknown
}

// Command says whether the job is one of a step that runs something; waiters,
// blocks and triggers are no steps of their own.
func (j *Job) Command() bool {
	switch j.Type {
	case "", "script", "command":
		return true
	}
	return false
}

func (j *Job) passed() bool {
	return (j.State == "passed" || j.State == "finished") && !j.Failed() && !j.SoftFailed
}

// stepOf says which step a job belongs to: step.id, else step_key, else name.
func (j *Job) stepOf() string {
	switch {
	case j.StepID != "":
		return "id:" + j.StepID
	case j.StepKey != "":
		return "key:" + j.StepKey
	}
	return "name:" + j.Name
}

// Steps returns the build's steps in the order in which their first jobs were
// created.
func (b *Build) Steps() []Step {
	groups := make(map[string][]*Job)
	var order []string
	for _, j := range b.sortedJobs() {
		key := j.stepOf()
		if _, seen := groups[key]; !seen {
			order = append(order, key)
		}
		groups[key] = append(groups[key], j)
	}
	steps := make([]Step, 0, len(order))
	for _, key := range order {
		s := Step{Name: groups[key][0].Name, Chains: chains(groups[key])}
		s.Status = stepStatus(s.Chains, b.Finished())
		steps = append(steps, s)
	}
	return steps
}

// sortedJobs returns the jobs that run something, oldest first.
func (b *Build) sortedJobs() []*Job {
	jobs := make([]*Job, 0, len(b.Jobs))
	for _, j := range b.Jobs {
		if j.Command() {
			jobs = append(jobs, j)
		}
	}
	slices.SortFunc(jobs, func(x, y *Job) int {
		return cmp.Or(x.CreatedAt.Compare(y.CreatedAt), cmp.Compare(x.Name, y.Name), cmp.Compare(x.ID, y.ID))
	})
	return jobs
}

func stepStatus(chains []Chain, finished bool) Status {
	status := Passed
	for _, c := range chains {
		s := c.Status()
		if finished && s == Running {
			s = Passed // nothing is known to have failed
		}
		if stepSeverity(s) > stepSeverity(status) {
			status = s
		}
	}
	return status
}

func stepSeverity(s Status) int {
	switch s {
	case Failed:
		return 3
	case Running:
		return 2
	case Fixed:
		return 1
	}
	return 0
}
