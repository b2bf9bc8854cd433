package stats

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/build-tracker/build-tracker/build"
)

// listed is how many steps a report lists of each kind.
const listed = 10

// Report is what builds add up to, as people ask for it. Durations are in seconds;
// null says that there was nothing to measure.
type Report struct {
	// Builds is how many finished, and Failures how many of them failed.
	Builds   int64                  `json:"builds"`
	Failures int64                  `json:"failures"`
	Statuses map[build.Status]int64 `json:"statuses"`
	// Incidents counts the rows of failed builds of a branch that a build ended which
	// passed, and MeanTimeToGreen is from the end of their first build to that of the
	// one that passed.
	Incidents       int64    `json:"incidents"`
	MeanTimeToGreen *float64 `json:"mean_time_to_green_seconds"`
	// LongestStreak is how many builds of a branch failed in a row, at most.
	LongestStreak int64 `json:"longest_streak"`
	// Duration is of builds that passed or failed, QueueWait of attempts of jobs, for
	// an agent.
	Duration  Percentiles `json:"duration_seconds"`
	QueueWait Percentiles `json:"queue_wait_seconds"`
	// FlakiestSteps failed in a build and passed when they were tried again, in the
	// most builds first; SlowestSteps have the longest median first.
	FlakiestSteps []StepReport `json:"flakiest_steps"`
	SlowestSteps  []StepReport `json:"slowest_steps"`
}

// Percentiles are within MaxError of the exact ones.
type Percentiles struct {
	P50 *float64 `json:"p50"`
	P95 *float64 `json:"p95"`
}

// StepReport is what the steps of one name add up to.
type StepReport struct {
	Pipeline string `json:"pipeline"` // ORGANIZATION/PIPELINE
	Name     string `json:"name"`
	// Runs counts the builds in which it ran, Failures those in which it failed at
	// last, Flakes those in which it failed and then passed.
	Runs     int64 `json:"runs"`
	Failures int64 `json:"failures"`
	Flakes   int64 `json:"flakes"`
	// Duration is of attempts, each job of a parallel step for itself.
	Duration Percentiles `json:"duration_seconds"`
}

// Report returns what the tally adds up to.
func (t *Tally) Report() Report {
	r := Report{
		Builds: t.Builds(), Failures: t.Failures(), Statuses: make(map[build.Status]int64),
		Incidents: t.incidents, LongestStreak: t.longest,
		Duration: t.took.percentiles(), QueueWait: t.waited.percentiles(),
		FlakiestSteps: t.flakiest(), SlowestSteps: t.slowest(),
	}
	for i, status := range statuses() {
		r.Statuses[status] = t.builds[i]
	}
	if t.incidents > 0 {
		r.MeanTimeToGreen = seconds(t.red / time.Duration(t.incidents))
	}
	return r
}

func (t *Tally) flakiest() []StepReport {
	return t.top(func(s *step) (int64, bool) { return s.flakes, s.flakes > 0 })
}

func (t *Tally) slowest() []StepReport {
	return t.top(func(s *step) (int64, bool) { return int64(s.took.Quantile(.5)), s.took.Count() > 0 })
}

// top returns the steps that score highest. Of equals the one that ran in fewer
// builds is first.
func (t *Tally) top(score func(*step) (int64, bool)) []StepReport {
	scores := make(map[stepName]int64, len(t.steps))
	for name, s := range t.steps {
		if n, counts := score(s); counts {
			scores[name] = n
		}
	}
	names := slices.SortedFunc(maps.Keys(scores), func(x, y stepName) int {
		return cmp.Or(cmp.Compare(scores[y], scores[x]), cmp.Compare(t.steps[x].runs, t.steps[y].runs),
			strings.Compare(x.pipeline, y.pipeline), strings.Compare(x.name, y.name))
	})
	top := []StepReport{}
	for _, name := range names[:min(len(names), listed)] {
		s := t.steps[name]
		top = append(top, StepReport{
			Pipeline: name.pipeline, Name: name.name,
			Runs: s.runs, Failures: s.failures, Flakes: s.flakes, Duration: s.took.percentiles(),
		})
	}
	return top
}

func (h *Histogram) percentiles() Percentiles {
	if h.total == 0 {
		return Percentiles{}
	}
	return Percentiles{seconds(h.Quantile(.5)), seconds(h.Quantile(.95))}
}

// seconds are to the millisecond.
func seconds(d time.Duration) *float64 {
	s := math.Round(d.Seconds()*1000) / 1000
	return &s
}
