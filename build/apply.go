package build

import (
	"cmp"
	"time"
)

// maxJobs bounds the jobs that one build keeps: more than twice what Buildkite
// lets a build have.
const maxJobs = 10_000

// New returns a build of which nothing is known but its address.
func New(id, organization, pipeline string, number int64) *Build {
	return &Build{ID: id, Organization: organization, Pipeline: pipeline, Number: number, LastSeq: -1}
}

// Apply folds what one delivery says into b. The order in which deliveries
// come, and how often, makes no difference.
func (b *Build) Apply(f *Facts) {
	b.applyBuild(&f.Build)
	for i := range f.Jobs {
		b.applyJob(&f.Jobs[i])
	}
}

func (b *Build) applyBuild(f *BuildFacts) {
	at := Version{FinishedAt: micros(f.FinishedAt), Rank: buildRank(f.State, f.Blocked)}
	c := at.Compare(b.Latest)
	if c > 0 || c == 0 && (f.State > b.State || f.State == b.State && f.Blocked) {
		b.Latest, b.State, b.Blocked = at, f.State, f.Blocked
	}
	if f.State == "failed" && !f.Blocked && (b.FirstFailed == Version{} || at.Compare(b.FirstFailed) < 0) {
		b.FirstFailed = at
	}

	b.WebURL = max(b.WebURL, f.WebURL)
	b.CreatedAt = earliest(b.CreatedAt, f.CreatedAt)
	b.StartedAt = latest(b.StartedAt, f.StartedAt)
	b.PipelineName.set(f.PipelineName, at)
	b.DefaultBranch.set(f.DefaultBranch, at)
	b.Repository.set(f.Repository, at)
	b.Branch.set(f.Branch, at)
	b.Commit.set(f.Commit, at)
	b.Message.set(f.Message, at)
	b.AuthorName.set(f.AuthorName, at)
	b.AuthorEmail.set(f.AuthorEmail, at)
	b.PullRequest.set(f.PullRequest, at)
	b.BaseBranch.set(f.BaseBranch, at)
	if f.TriggeredFrom.BuildID != "" && f.TriggeredFrom.compare(b.Parent) > 0 {
		b.Parent = f.TriggeredFrom
	}
}

func (o Origin) compare(p Origin) int {
	return cmp.Or(cmp.Compare(o.BuildID, p.BuildID), cmp.Compare(o.Number, p.Number), cmp.Compare(o.Pipeline, p.Pipeline))
}

func (b *Build) applyJob(f *JobFacts) {
	j := b.Jobs[f.ID]
	if j == nil {
		if b.Jobs == nil {
			b.Jobs = make(map[string]*Job)
		}
		j = &Job{ID: f.ID}
		b.Jobs[f.ID] = j
		if len(b.Jobs) > maxJobs {
			b.dropJob()
		}
	}
	j.apply(f)
}

// dropJob forgets the job with the greatest id, so that which jobs stay does
// not depend on the order they came in.
func (b *Build) dropJob() {
	greatest := ""
	for id := range b.Jobs {
		greatest = max(greatest, id)
	}
	delete(b.Jobs, greatest)
}

// JobOf returns the job as one delivery shows it.
func JobOf(f *JobFacts) *Job {
	j := &Job{ID: f.ID}
	j.apply(f)
	return j
}

func (j *Job) apply(f *JobFacts) {
	shown := Job{
		Latest:     Version{FinishedAt: micros(f.FinishedAt), Rank: jobRank(f.State)},
		State:      f.State,
		ExitStatus: f.ExitStatus,
		SoftFailed: f.SoftFailed,
	}
	if shown.compareOutcome(j) > 0 {
		j.Latest, j.State, j.ExitStatus, j.SoftFailed = shown.Latest, shown.State, shown.ExitStatus, shown.SoftFailed
	}

	// Buildkite never changes these once they are set, so the greatest is the
	// one there is. A retry is linked later than its source finished: a link,
	// once seen, stays.
	j.Type = max(j.Type, f.Type)
	j.Name = max(j.Name, f.Name)
	j.StepID = max(j.StepID, f.StepID)
	j.StepKey = max(j.StepKey, f.StepKey)
	j.ParallelGroupIndex = greater(j.ParallelGroupIndex, f.ParallelGroupIndex)
	j.Matrix = max(j.Matrix, f.Matrix)
	j.RetriedIn = max(j.RetriedIn, f.RetriedInJobID)
	j.RetrySource = max(j.RetrySource, f.RetrySourceJobID)
	j.WebURL = max(j.WebURL, f.WebURL)
	j.CreatedAt = earliest(j.CreatedAt, f.CreatedAt)
	j.RunnableAt = latest(j.RunnableAt, f.RunnableAt)
	j.StartedAt = latest(j.StartedAt, f.StartedAt)
	j.Queue = max(j.Queue, f.Queue)
	j.Async = j.Async || f.Async
	j.TriggeredBuildID = max(j.TriggeredBuildID, f.TriggeredBuildID)
}

// compareOutcome orders two versions of a job's outcome, totally.
func (j *Job) compareOutcome(k *Job) int {
	return cmp.Or(
		j.Latest.Compare(k.Latest),
		cmp.Compare(j.State, k.State),
		compareInt(j.ExitStatus, k.ExitStatus),
		compareBool(j.SoftFailed, k.SoftFailed),
	)
}

func compareInt(a, b *int) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	return cmp.Compare(*a, *b)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func greater(a, b *int) *int {
	if compareInt(a, b) >= 0 {
		return a
	}
	return b
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
