package build

import "time"

// View is a build as users see it: the JSON of the API.
type View struct {
	ID                  string     `json:"id"`
	Organization        string     `json:"organization"`
	Pipeline            string     `json:"pipeline"`
	Number              int64      `json:"number"`
	WebURL              string     `json:"web_url"`
	Branch              string     `json:"branch"`
	Commit              string     `json:"commit"`
	Message             string     `json:"message"`
	Author              AuthorView `json:"author"`
	State               string     `json:"state"`
	Status              Status     `json:"status"`
	ConsecutiveFailures int        `json:"consecutive_failures"`
	FirstFailedNumber   *int64     `json:"first_failed_number"`
	LastPassedNumber    *int64     `json:"last_passed_number"`
	CreatedAt           *time.Time `json:"created_at"`
	StartedAt           *time.Time `json:"started_at"`
	FinishedAt          *time.Time `json:"finished_at"`
	LastSeq             int64      `json:"last_seq"`
	Steps               []StepView `json:"steps"`
}

// AuthorView is who wrote the commit.
type AuthorView struct {
	Name  string `json:"name"`
	Email string `json:"email"`
}

// StepView is one step, its own or one that a triggered build lends.
type StepView struct {
	Name string `json:"name"`
	// Key is told in snapshots only.
	Key    string    `json:"key,omitempty"`
	Status Status    `json:"status"`
	Jobs   []JobView `json:"jobs"`
}

// JobView is one attempt.
type JobView struct {
	ID         string     `json:"id"`
	State      string     `json:"state"`
	ExitStatus *int       `json:"exit_status"`
	SoftFailed bool       `json:"soft_failed"`
	WebURL     string     `json:"web_url"`
	FinishedAt *time.Time `json:"finished_at"`
	*JobDetails
}

// JobDetails are what is told of a job in snapshots only.
type JobDetails struct {
	CreatedAt  *time.Time `json:"created_at"`
	RunnableAt *time.Time `json:"runnable_at"` // when it began to wait for an agent
	StartedAt  *time.Time `json:"started_at"`
	RetryOf    string     `json:"retry_of"` // the id of the attempt before, empty for none
	Queue      string     `json:"queue"`    // of agents, empty where none is named
}

// Snapshot is View with the details: the build as status events show it.
func (b *Build) Snapshot() View { return b.view(true) }

// View returns the build as users see it. The jobs of a step stand chain by
// chain, attempts in order; steps lent by triggered builds come last, without
// jobs.
func (b *Build) View() View { return b.view(false) }

func (b *Build) view(details bool) View {
	v := View{
		ID: b.ID, Organization: b.Organization, Pipeline: b.Pipeline, Number: b.Number,
		WebURL: b.WebURL, Branch: b.Branch.V, Commit: b.Commit.V, Message: b.Message.V,
		Author: AuthorView{Name: b.AuthorName.V, Email: b.AuthorEmail.V},
		State:  b.State, Status: b.Status(),
		ConsecutiveFailures: b.Streak.Failures,
		FirstFailedNumber:   orNil(b.Streak.FirstFailed),
		LastPassedNumber:    orNil(b.Streak.LastPassed),
		CreatedAt:           orNil(b.CreatedAt),
		StartedAt:           orNil(b.StartedAt),
		FinishedAt:          orNil(b.Latest.Time()),
		LastSeq:             b.LastSeq,
		Steps:               []StepView{},
	}
	for _, s := range b.Steps() {
		sv := StepView{Name: s.Name, Status: s.Status, Jobs: []JobView{}}
		for _, c := range s.Chains {
			for i, j := range c {
				jv := JobView{
					ID: j.ID, State: j.State, ExitStatus: j.ExitStatus, SoftFailed: j.SoftFailed,
					WebURL: j.WebURL, FinishedAt: orNil(j.Latest.Time()),
				}
				if details {
					sv.Key = j.StepKey
					jv.JobDetails = j.details()
					if i > 0 {
						jv.RetryOf = c[i-1].ID
					}
				}
				sv.Jobs = append(sv.Jobs, jv)
			}
		}
		v.Steps = append(v.Steps, sv)
	}
	for _, f := range b.lentSteps() {
		v.Steps = append(v.Steps, StepView{Name: f.Name, Status: Failed, Jobs: []JobView{}})
	}
	return v
}

func (j *Job) details() *JobDetails {
	return &JobDetails{CreatedAt: orNil(j.CreatedAt), RunnableAt: orNil(j.RunnableAt), StartedAt: orNil(j.StartedAt), Queue: j.Queue}
}

func orNil[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// Outcome is Job.Outcome of an attempt that was shown.
func (v *JobView) Outcome() Status {
	j := Job{State: v.State, ExitStatus: v.ExitStatus, SoftFailed: v.SoftFailed, Latest: Version{Rank: jobRank(v.State)}}
	return j.Outcome()
}
