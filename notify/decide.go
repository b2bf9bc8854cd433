package notify

import (
	"time"

	"github.com/build-tracker/build-tracker/build"
)

// Action is what to do about a build's notice.
type Action int

const (
	// None leaves the notice as it is.
	None Action = iota
	// Update brings a notice that is there to the build's revision.
	Update
	// Announce does so too, and makes the notice if there is none.
	Announce
)

// Reason names why.
type Reason string

// The reasons of a decision.
const (
	ReasonFailed      Reason = "failed"           // Announce
	ReasonOff         Reason = "off"              // None: notices are turned off
	ReasonOldRow      Reason = "old_row"          // None: a later build of the row shows the streak
	ReasonStreak      Reason = "streak"           // Update: only the streak changed
	ReasonOtherBranch Reason = "other_branch"     // Update: not the default branch, or no more
	ReasonNotFailed   Reason = "not_failed"       // Update: fixed, passed, canceled, running …
	ReasonTooOld      Reason = "too_old"          // Update: finished too long ago to announce
	ReasonParent      Reason = "parent_announces" // Update: the triggering build's message says it
)

// Policy is what the configuration says about notices.
type Policy struct {
	// Off sends nothing.
	Off bool
	// MaxAge is how long after its finish a build is still announced; 0 is for ever.
	MaxAge time.Duration
}

// Input is what a decision depends on.
type Input struct {
	Build *build.Build
	// Parent is the build that triggered this one; nil if there is none or it
	// is not known.
	Parent *build.Build
	// StreakOnly: nothing about the build itself changed, only its place in the
	// row of failures.
	StreakOnly bool
	// NewestOfRow: no later build of the branch belongs to the same row.
	NewestOfRow bool
	Now         time.Time
	Policy      Policy
}

// Decision is what to do, and why.
type Decision struct {
	Action Action
	Reason Reason
}

// Decide says what a build's state means for its notice. Only a failed build of
// a default branch makes one; whatever happens to that build later edits it.
func Decide(in Input) Decision {
	b := in.Build
	switch {
	case in.Policy.Off:
		return Decision{None, ReasonOff}
	case in.StreakOnly && !in.NewestOfRow:
		return Decision{None, ReasonOldRow}
	case in.StreakOnly:
		return Decision{Update, ReasonStreak}
	case !onDefaultBranch(b):
		return Decision{Update, ReasonOtherBranch}
	case b.Status() != build.Failed:
		return Decision{Update, ReasonNotFailed}
	case in.Parent != nil && announces(in.Parent):
		return Decision{Update, ReasonParent}
	case tooOld(in):
		return Decision{Update, ReasonTooOld}
	}
	return Decision{Announce, ReasonFailed}
}

// tooOld takes a build that does not say when it finished for a fresh one.
func tooOld(in Input) bool {
	finished := in.Build.Latest.Time()
	return in.Policy.MaxAge > 0 && !finished.IsZero() && in.Now.Sub(finished) > in.Policy.MaxAge
}

// announces says whether a build that triggered another has, or may still get,
// a message that lists what failed in that other one.
func announces(parent *build.Build) bool {
	if !onDefaultBranch(parent) {
		return false
	}
	status := parent.Status()
	return status == build.Running || status == build.Failed || parent.FirstFailed != (build.Version{})
}

// onDefaultBranch takes main and master for the default where the payloads did
// not name one.
func onDefaultBranch(b *build.Build) bool {
	branch := b.Branch.V
	if b.DefaultBranch.V == "" {
		return branch == "main" || branch == "master"
	}
	return branch == b.DefaultBranch.V
}
