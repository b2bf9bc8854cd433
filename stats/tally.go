package stats

import (
	"cmp"
	"time"

	"github.com/build-tracker/build-tracker/build"
)

// Limits of a tally. Names of steps are for whoever writes a pipeline to choose.
const (
	maxSteps = 10_000
	maxName  = 200 // bytes
)

const kinds = 6

// statuses are those of finished builds, in the order in which they are stored.
func statuses() [kinds]build.Status {
	return [kinds]build.Status{build.Passed, build.Fixed, build.Failed, build.Canceled, build.Blocked, build.Unknown}
}

// Tally is what is counted of some builds. The zero Tally has counted none.
type Tally struct {
	builds  [kinds]int64 // by status
	longest int64        // row of failures
	// Of the incidents that ended with one of the builds:
	incidents int64
	red       time.Duration // their sum
	took      Histogram     // of builds that passed or failed
	waited    Histogram     // of attempts, for an agent
	steps     map[stepName]*step
}

type stepName struct{ pipeline, name string }

// step is what is counted of the steps of one name in one pipeline.
type step struct {
	runs, failures, flakes int64     // builds
	took                   Histogram // of attempts
}

// Count counts a finished build in each of the tallies.
func Count(b *build.Build, tallies ...*Tally) {
	took, ran := between(b.StartedAt, b.Latest.Time())
	ran = ran && b.Class() != build.ClassNone
	for _, t := range tallies {
		t.builds[indexOf(b.Status())]++
		t.longest = max(t.longest, int64(b.Streak.Failures))
		if ran {
			t.took.Add(took)
		}
	}
	pipeline := b.Organization + "/" + b.Pipeline
	for _, s := range b.Steps() {
		countStep(stepName{pipeline, nameOf(&s)}, &s, tallies)
	}
}

func indexOf(s build.Status) int {
	all := statuses()
	for i, known := range all {
		if s == known {
			return i
		}
	}
	return len(all) - 1
}

func countStep(name stepName, s *build.Step, tallies []*Tally) {
	var took, waited []time.Duration
	ran := false
	for _, c := range s.Chains {
		for _, j := range c {
			queued := j.RunnableAt
			if queued.IsZero() {
				queued = j.CreatedAt
			}
			if d, ok := between(queued, j.StartedAt); ok {
				waited = append(waited, d)
			}
			if outcome := j.Outcome(); outcome != build.Passed && outcome != build.Failed {
				continue
			}
			ran = true
			if d, ok := between(j.StartedAt, j.Latest.Time()); ok {
				took = append(took, d)
			}
		}
	}
	for _, t := range tallies {
		for _, d := range waited {
			t.waited.Add(d)
		}
		if !ran {
			continue
		}
		to := t.step(name)
		if to == nil {
			continue
		}
		to.runs++
		switch s.Status {
		case build.Failed:
			to.failures++
		case build.Fixed:
			to.flakes++
		}
		for _, d := range took {
			to.took.Add(d)
		}
	}
}

// step returns what is counted of a step; nil when there are too many.
func (t *Tally) step(name stepName) *step {
	if s, known := t.steps[name]; known || len(t.steps) >= maxSteps {
		return s
	}
	if t.steps == nil {
		t.steps = make(map[stepName]*step)
	}
	s := new(step)
	t.steps[name] = s
	return s
}

// between is the time from one time to another; false where one is not known.
func between(from, to time.Time) (time.Duration, bool) {
	return max(0, to.Sub(from)), !from.IsZero() && !to.IsZero()
}

// nameOf is the step's name, else its key.
func nameOf(s *build.Step) string {
	name := s.Name
	for _, c := range s.Chains {
		name = cmp.Or(name, c[0].StepKey)
	}
	return cut(name, maxName)
}

// Ended counts an incident that one of the builds ended: for how long its branch
// was red.
func (t *Tally) Ended(red time.Duration) {
	t.incidents++
	t.red += red
}

// Builds is how many builds were counted.
func (t *Tally) Builds() int64 {
	var n int64
	for _, of := range t.builds {
		n += of
	}
	return n
}

// Failures is how many of them are failed.
func (t *Tally) Failures() int64 { return t.builds[indexOf(build.Failed)] }
