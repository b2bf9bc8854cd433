package analytics

import (
	"errors"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/stream"
)

// status is a status event, taken apart.
type status struct {
	Status   build.Status `json:"status"`
	Previous build.Status `json:"previous"` // empty for the first of a build
	Build    build.View   `json:"build"`

	event *stream.Event
}

func readStatus(e *stream.Event) (*status, error) {
	s := &status{event: e}
	if err := json.Unmarshal(e.Data, s); err != nil {
		return nil, err
	}
	if s.Build.ID == "" {
		return nil, errors.New("there is no build in it")
	}
	return s, nil
}

// standing is how a build stood at a status event, as far as the next one is
// compared with it.
type standing struct {
	finish
	ended map[string]struct{} // ids of jobs
}

// finish is how a build finished; the zero is that it has not.
type finish struct {
	at     time.Time
	state  string
	status build.Status
}

// size is what it costs to remember it.
func (s *standing) size() int { return 1 + len(s.ended) }

func (s *status) standing() *standing {
	now := &standing{finish: s.finish(), ended: make(map[string]struct{})}
	for i := range s.Build.Steps {
		for j := range s.Build.Steps[i].Jobs {
			if job := &s.Build.Steps[i].Jobs[j]; job.Outcome() != build.Running {
				now.ended[job.ID] = struct{}{}
			}
		}
	}
	return now
}

func (s *status) finish() finish {
	if s.Status == build.Running {
		return finish{}
	}
	f := finish{state: s.Build.State, status: s.Status}
	if s.Build.FinishedAt != nil {
		f.at = *s.Build.FinishedAt
	}
	return f
}

// rows appends what the event tells that the one before did not: that the build
// finished, with its steps, and which jobs did.
func (s *status) rows(dst []Row, before *standing) []Row {
	if before == nil {
		before = new(standing)
	}
	now := s.finish()
	if now != (finish{}) && !now.same(before.finish) {
		dst = append(dst, s.build())
		for i := range s.Build.Steps {
			dst = append(dst, s.step(i))
		}
	}
	n := 0
	for i := range s.Build.Steps {
		step := &s.Build.Steps[i]
		for j := range step.Jobs {
			job := &step.Jobs[j]
			if _, told := before.ended[job.ID]; told || job.Outcome() == build.Running {
				continue
			}
			dst = append(dst, s.job(n, step, job))
			n++
		}
	}
	return dst
}

func (f finish) same(g finish) bool {
	return f.at.Equal(g.at) && f.state == g.state && f.status == g.status
}

func (s *status) row(t *Table) Row { return rowOf(t, s.event, s.Build.Branch) }

func (s *status) build() Row {
	b := &s.Build
	r := s.row(builds)
	r.add(
		s.event.Seq, b.ID, b.Number, text(b.WebURL), text(b.Commit), text(b.Message),
		[]any{text(b.Author.Name), text(b.Author.Email)}, text(b.State), text(string(s.Status)), text(string(s.Previous)),
		int64(b.ConsecutiveFailures), integer(b.FirstFailedNumber), integer(b.LastPassedNumber),
		timeOf(b.CreatedAt), timeOf(b.StartedAt), timeOf(b.FinishedAt), seconds(b.StartedAt, b.FinishedAt), b.LastSeq,
	)
	return r
}

func (s *status) step(n int) Row {
	step := &s.Build.Steps[n]
	var failed int64
	var started, finished *time.Time
	for i := range step.Jobs {
		job := &step.Jobs[i]
		if job.Outcome() == build.Failed {
			failed++
		}
		if job.JobDetails != nil && job.StartedAt != nil && (started == nil || job.StartedAt.Before(*started)) {
			started = job.StartedAt
		}
		if job.FinishedAt != nil && (finished == nil || job.FinishedAt.After(*finished)) {
			finished = job.FinishedAt
		}
	}
	r := s.row(steps)
	r.add(
		s.event.Seq, int64(n), s.Build.ID, s.Build.Number, text(step.Name), text(step.Key), text(string(step.Status)),
		int64(len(step.Jobs)), failed, timeOf(started), timeOf(finished), seconds(started, finished),
	)
	return r
}

// job returns the row of the nth job that the event tells of.
func (s *status) job(n int, step *build.StepView, job *build.JobView) Row {
	var details build.JobDetails
	if job.JobDetails != nil {
		details = *job.JobDetails
	}
	waits := details.RunnableAt
	if waits == nil {
		waits = details.CreatedAt
	}
	r := s.row(jobs)
	r.add(
		s.event.Seq, int64(n), job.ID, s.Build.ID, s.Build.Number, text(step.Name), text(step.Key), text(job.State),
		text(string(job.Outcome())), integer(job.ExitStatus), job.SoftFailed, text(details.RetryOf), text(details.Queue), text(job.WebURL),
		timeOf(details.CreatedAt), timeOf(details.RunnableAt), timeOf(details.StartedAt), timeOf(job.FinishedAt),
		seconds(waits, details.StartedAt), seconds(details.StartedAt, job.FinishedAt),
	)
	return r
}
