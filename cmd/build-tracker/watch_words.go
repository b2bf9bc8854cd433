package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// word says how the build stands: in Buildkite's words while it runs, which are
// finer, then in ours.
func (b *seenBuild) word() string {
	word := b.Status
	if word == "" || word == "running" {
		word = cmp.Or(b.State, b.Status)
	}
	return printable(strings.ReplaceAll(word, "_", " "))
}

// row says where the build stands among the failures of its branch; "" for none.
func (b *seenBuild) row() string {
	switch {
	case b.ConsecutiveFailures < 1:
		return ""
	case b.ConsecutiveFailures == 1 || b.FirstFailedNumber < 1:
		return counted(b.ConsecutiveFailures, "failure") + " in a row"
	}
	return fmt.Sprintf("%s in a row, since %d", counted(b.ConsecutiveFailures, "failure"), b.FirstFailedNumber)
}

// took is how long the build has run until now; false before it began.
func (b *seenBuild) took(now time.Time) (time.Duration, bool) {
	if b.StartedAt.IsZero() {
		return 0, false
	}
	if !b.FinishedAt.IsZero() {
		now = b.FinishedAt
	}
	return now.Sub(b.StartedAt), true
}

// label is the step's name.
func (s *seenStep) label() string { return cmp.Or(printable(s.Name), "a step without a name") }

// word says how the step stands: running while an attempt does, failing when
// another one has failed.
func (s *seenStep) word() string {
	active := slices.ContainsFunc(s.Jobs, func(j seenJob) bool { return j.active() })
	switch {
	case active && s.Status == "failed":
		return "failing"
	case active:
		return "running"
	case s.Status == "running":
		return "waiting"
	}
	return printable(s.Status)
}

// standing is the step's status by its attempts: the latest finished ones count.
func (s *seenStep) standing() string {
	superseded := make(map[string]bool)
	failed, goesOn := false, false
	for _, j := range s.Jobs {
		if goesOn = goesOn || !j.finished(); j.finished() {
			superseded[j.RetryOf] = true
		}
		failed = failed || j.failed()
	}
	switch {
	case slices.ContainsFunc(s.Jobs, func(j seenJob) bool { return j.failed() && !superseded[j.ID] }):
		return "failed"
	case goesOn:
		return "running"
	case failed:
		return "fixed"
	}
	return "passed"
}

// took is the time from the first attempt's start to the end of the last, or
// until now; false before the first, and where nothing told these times.
func (s *seenStep) took(now time.Time) (time.Duration, bool) {
	var began, ended time.Time
	for _, j := range s.Jobs {
		if j.StartedAt.IsZero() {
			continue
		}
		if began.IsZero() || j.StartedAt.Before(began) {
			began = j.StartedAt
		}
		until := j.FinishedAt
		if !j.finished() {
			until = now
		}
		if until.After(ended) {
			ended = until
		}
	}
	return ended.Sub(began), !began.IsZero() && !ended.IsZero()
}

// detail says what there is to say of the attempts.
func (s *seenStep) detail() string {
	retried := make(map[string]bool)
	for _, j := range s.Jobs {
		if j.RetryOf != "" {
			retried[j.RetryOf] = true
		}
	}
	switch chains := len(s.Jobs) - len(retried); {
	case len(s.Jobs) == 0:
		return ""
	case len(s.Jobs) == 1:
		return s.Jobs[0].remark(s.word())
	case chains <= 1:
		return s.attempts()
	case len(retried) > 0:
		return fmt.Sprintf("%d jobs: %s; retried %d", chains, s.outcomes(retried), len(retried))
	}
	return fmt.Sprintf("%d jobs: %s", len(s.Jobs), s.outcomes(nil))
}

// remark says what the word for its step does not: how the job ended.
func (j *seenJob) remark(said string) string {
	switch state := j.state(); {
	case !j.finished(), state == said && j.exit() == "":
		return ""
	case state == said:
		return j.exit()
	default:
		return j.word()
	}
}

// maxAttempts is how many attempts are told each for itself, the last ones.
const maxAttempts = 5

// attempts says what became of each attempt of one job.
func (s *seenStep) attempts() string {
	var words []string
	for _, j := range s.Jobs[max(0, len(s.Jobs)-maxAttempts):] {
		words = append(words, j.word())
	}
	return fmt.Sprintf("attempt %d: %s", len(s.Jobs), strings.Join(words, ", "))
}

// outcomes counts the jobs that were not retried, failed ones first.
func (s *seenStep) outcomes(retried map[string]bool) string {
	count := make(map[string]int)
	for _, j := range s.Jobs {
		if !retried[j.ID] {
			count[j.state()]++
		}
	}
	return inOrder(count)
}

// inOrder tells how many there are of each word, the most urgent first.
func inOrder(count map[string]int) string {
	var parts []string
	for word, n := range count {
		parts = append(parts, fmt.Sprintf("%d %s", n, word))
	}
	slices.SortFunc(parts, func(a, b string) int {
		_, wordA, _ := strings.Cut(a, " ")
		_, wordB, _ := strings.Cut(b, " ")
		return cmp.Or(cmp.Compare(urgency(wordA), urgency(wordB)), strings.Compare(wordA, wordB))
	})
	return strings.Join(parts, ", ")
}

// urgency orders words for how something stands, the lowest first.
func urgency(word string) int {
	switch word {
	case "failed", "failing", "timed out", "expired":
		return 0
	case "running", "canceling", "timing out":
		return 1
	case "waiting", "scheduled", "assigned", "accepted", "blocked", "limited":
		return 2
	case "fixed":
		return 3
	}
	return 4
}

// active says whether the job runs now.
func (j *seenJob) active() bool {
	return !j.finished() && slices.Contains([]string{"running", "canceling", "timing_out"}, j.State)
}

// finished says whether the job ended.
func (j *seenJob) finished() bool {
	return !j.FinishedAt.IsZero() ||
		slices.Contains([]string{"passed", "failed", "finished", "timed_out", "expired", "canceled", "skipped", "broken"}, j.State)
}

// failed says whether the job ended in a failure that counts.
func (j *seenJob) failed() bool {
	return !j.SoftFailed && slices.Contains([]string{"failed", "timed_out", "expired"}, j.State)
}

// state is Buildkite's word, readable, and ours for a failure that does not count.
func (j *seenJob) state() string {
	if j.SoftFailed {
		return "soft failed"
	}
	return printable(strings.ReplaceAll(j.State, "_", " "))
}

// word is the state, and the exit status where that is not 0.
func (j *seenJob) word() string {
	if exit := j.exit(); exit != "" {
		return j.state() + " (" + exit + ")"
	}
	return j.state()
}

// exit is the exit status where that is not 0, else "".
func (j *seenJob) exit() string {
	if j.ExitStatus == nil || *j.ExitStatus == 0 {
		return ""
	}
	return fmt.Sprintf("exit %d", *j.ExitStatus)
}
