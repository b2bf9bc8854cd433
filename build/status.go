package build

import (
	"maps"
	"slices"
)

// Finished says whether the latest version of the build is in a final state.
// One that waits at a block step is: nothing more happens until somebody acts.
func (b *Build) Finished() bool { return b.Latest.Rank >= finalBuild }

// Status is Running until the build has finished, and then Buildkite's state,
// except that a blocked one is Blocked and one that passed after it had
// failed, or with a step fixed by a retry, is Fixed.
func (b *Build) Status() Status {
	if !b.Finished() {
		return Running
	}
	if b.Blocked {
		return Blocked
	}
	switch b.State {
	case "failed":
		return Failed
	case "canceled":
		return Canceled
	case "blocked":
		return Blocked
	case "passed":
		if b.fixed() {
			return Fixed
		}
		return Passed
	}
	return Unknown
}

func (b *Build) fixed() bool {
	if b.FirstFailed != (Version{}) && b.FirstFailed.Compare(b.Latest) < 0 {
		return true
	}
	// Most builds have no failed attempt, and need no steps to be worked out.
	for _, j := range b.Jobs {
		if j.Failed() {
			return slices.ContainsFunc(b.Steps(), func(s Step) bool { return s.Status == Fixed })
		}
	}
	return false
}

// Class says what the build means for the row of failures of its branch.
func (b *Build) Class() Class { return b.Status().Class() }

// Class says what a build of this status means for the row of failures of its
// branch.
func (s Status) Class() Class {
	switch s {
	case Failed:
		return ClassFailed
	case Passed, Fixed:
		return ClassPassed
	}
	return ClassNone
}

// FailedSteps returns the build's failed jobs, each the latest attempt of its
// chain, then those that triggered builds lend, in a fixed order.
func (b *Build) FailedSteps() []FailedStep {
	return append(b.ownSteps(Failed), b.lentSteps()...)
}

// FixedSteps returns the jobs that passed after a failed attempt.
func (b *Build) FixedSteps() []FailedStep {
	return b.ownSteps(Fixed)
}

func (b *Build) ownSteps(status Status) []FailedStep {
	var out []FailedStep
	for _, s := range b.Steps() {
		for _, c := range s.Chains {
			if c.Status() != status {
				continue
			}
			j := c.lastFinished()
			out = append(out, FailedStep{Name: j.Name, WebURL: j.WebURL})
		}
	}
	return out
}

func (b *Build) lentSteps() []FailedStep {
	if len(b.Children) == 0 {
		return nil
	}
	aside := make(map[string]bool)
	for _, j := range b.Jobs {
		if j.TriggeredBuildID != "" && (j.Async || j.SoftFailed) {
			aside[j.TriggeredBuildID] = true
		}
	}
	var out []FailedStep
	for _, id := range slices.Sorted(maps.Keys(b.Children)) {
		for _, f := range b.Children[id].Failed {
			f.Uncounted = f.Uncounted || aside[id]
			out = append(out, f)
		}
	}
	slices.SortStableFunc(out, func(x, y FailedStep) int { return compareBool(x.Uncounted, y.Uncounted) })
	return out
}

// maxLent bounds the failed steps that one build lends to another.
const maxLent = 100

// Lend returns what b lends to the build that triggered it: its failed steps
// once it has finished, nothing before. Steps of its own go under the name of
// its pipeline; those it was lent keep the name they came with.
func (b *Build) Lend() Child {
	c := Child{Organization: b.Organization, Pipeline: b.Pipeline, Number: b.Number, Status: b.Status()}
	if !b.Finished() {
		return c
	}
	for _, f := range b.ownSteps(Failed) {
		f.Name = b.Pipeline + ": " + f.Name
		c.Failed = append(c.Failed, f)
	}
	c.Failed = append(c.Failed, b.lentSteps()...)
	if len(c.Failed) > maxLent {
		c.Failed = c.Failed[:maxLent]
	}
	return c
}

// Borrowed says whether b has just this from a triggered build.
func (b *Build) Borrowed(childID string, c Child) bool {
	old, ok := b.Children[childID]
	return ok && old.equal(c)
}

// Borrow records what a triggered build lends.
func (b *Build) Borrow(childID string, c Child) {
	if b.Children == nil {
		b.Children = make(map[string]Child)
	}
	b.Children[childID] = c
}

func (c Child) equal(d Child) bool {
	return c.Organization == d.Organization && c.Pipeline == d.Pipeline && c.Number == d.Number &&
		c.Status == d.Status && slices.Equal(c.Failed, d.Failed)
}
