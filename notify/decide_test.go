package notify_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/notify"
)

func onBranch(b *build.Build, branch, byDefault string) *build.Build {
	b.Branch.V, b.DefaultBranch.V = branch, byDefault
	return b
}

func TestDecide(t *testing.T) {
	t.Parallel()
	failed := func() *build.Build { return finished("failed", noon) }
	running := finished("running", time.Time{})
	fixed := failed()
	apply(fixed, "passed", noon.Add(time.Minute))
	blocked := build.New("b-42", "acme", "web", 42)
	blocked.Apply(&build.Facts{Build: build.BuildFacts{State: "passed", Blocked: true, FinishedAt: noon, Branch: "main"}})
	unstamped := failed()
	unstamped.Latest.FinishedAt = 0

	for _, c := range []struct {
		name string
		in   notify.Input
		want notify.Decision
	}{
		{
			"a failed build of the default branch is announced",
			notify.Input{Build: failed()},
			notify.Decision{Action: notify.Announce, Reason: notify.ReasonFailed},
		},
		{
			"nothing is said while notices are off",
			notify.Input{Build: failed(), Policy: notify.Policy{Off: true}},
			notify.Decision{Action: notify.None, Reason: notify.ReasonOff},
		},
		{
			"another branch is only edited",
			notify.Input{Build: onBranch(failed(), "topic", "main")},
			notify.Decision{Action: notify.Update, Reason: notify.ReasonOtherBranch},
		},
		{
			"main is only edited where the default is another",
			notify.Input{Build: onBranch(failed(), "main", "trunk")},
			notify.Decision{Action: notify.Update, Reason: notify.ReasonOtherBranch},
		},
		{
			"master stands in for a default that is not known",
			notify.Input{Build: onBranch(failed(), "master", "")},
			notify.Decision{Action: notify.Announce, Reason: notify.ReasonFailed},
		},
		{
			"main stands in for a default that is not known",
			notify.Input{Build: onBranch(failed(), "main", "")},
			notify.Decision{Action: notify.Announce, Reason: notify.ReasonFailed},
		},
		{
			"a topic does not stand in for a default that is not known",
			notify.Input{Build: onBranch(failed(), "topic", "")},
			notify.Decision{Action: notify.Update, Reason: notify.ReasonOtherBranch},
		},
		{"a running build only edits", notify.Input{Build: running}, notify.Decision{Action: notify.Update, Reason: notify.ReasonNotFailed}},
		{
			"a passed build only edits",
			notify.Input{Build: finished("passed", noon)},
			notify.Decision{Action: notify.Update, Reason: notify.ReasonNotFailed},
		},
		{"a fixed build only edits", notify.Input{Build: fixed}, notify.Decision{Action: notify.Update, Reason: notify.ReasonNotFailed}},
		{
			"a canceled build only edits",
			notify.Input{Build: finished("canceled", noon)},
			notify.Decision{Action: notify.Update, Reason: notify.ReasonNotFailed},
		},
		{"a blocked build only edits", notify.Input{Build: blocked}, notify.Decision{Action: notify.Update, Reason: notify.ReasonNotFailed}},
		{
			"exactly as old as allowed is announced",
			notify.Input{Build: failed(), Now: noon.Add(24 * time.Hour), Policy: notify.Policy{MaxAge: 24 * time.Hour}},
			notify.Decision{Action: notify.Announce, Reason: notify.ReasonFailed},
		},
		{
			"older is only edited",
			notify.Input{Build: failed(), Now: noon.Add(24*time.Hour + time.Second), Policy: notify.Policy{MaxAge: 24 * time.Hour}},
			notify.Decision{Action: notify.Update, Reason: notify.ReasonTooOld},
		},
		{
			"no age limit announces all",
			notify.Input{Build: failed(), Now: noon.AddDate(1, 0, 0)},
			notify.Decision{Action: notify.Announce, Reason: notify.ReasonFailed},
		},
		{
			"a finish without a time is taken for fresh",
			notify.Input{Build: unstamped, Now: noon, Policy: notify.Policy{MaxAge: time.Hour}},
			notify.Decision{Action: notify.Announce, Reason: notify.ReasonFailed},
		},
		{
			"a streak edits the newest message of its row",
			notify.Input{Build: failed(), StreakOnly: true, NewestOfRow: true},
			notify.Decision{Action: notify.Update, Reason: notify.ReasonStreak},
		},
		{
			"a streak leaves earlier messages alone",
			notify.Input{Build: failed(), StreakOnly: true},
			notify.Decision{Action: notify.None, Reason: notify.ReasonOldRow},
		},
		{
			"a failed parent holds its child",
			notify.Input{Build: failed(), Parent: failed()},
			notify.Decision{Action: notify.Update, Reason: notify.ReasonParent},
		},
		{
			"a running parent holds its child",
			notify.Input{Build: failed(), Parent: running},
			notify.Decision{Action: notify.Update, Reason: notify.ReasonParent},
		},
		{
			"a parent that had failed before holds its child",
			notify.Input{Build: failed(), Parent: fixed},
			notify.Decision{Action: notify.Update, Reason: notify.ReasonParent},
		},
		{
			"a passed parent does not hold its child",
			notify.Input{Build: failed(), Parent: finished("passed", noon)},
			notify.Decision{Action: notify.Announce, Reason: notify.ReasonFailed},
		},
		{
			"a canceled parent does not hold its child",
			notify.Input{Build: failed(), Parent: finished("canceled", noon)},
			notify.Decision{Action: notify.Announce, Reason: notify.ReasonFailed},
		},
		{
			"a parent on a topic branch does not hold its child",
			notify.Input{Build: failed(), Parent: onBranch(failed(), "topic", "main")},
			notify.Decision{Action: notify.Announce, Reason: notify.ReasonFailed},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.in.Now.IsZero() {
				c.in.Now = noon
			}
			if diff := cmp.Diff(c.want, notify.Decide(c.in)); diff != "" {
				t.Errorf("Decide (-want +got):\n%s", diff)
			}
		})
	}
}
