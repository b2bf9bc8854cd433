package simulate

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStreaksCountFailuresInARow(t *testing.T) {
	t.Parallel()
	s := &Simulation{facts: []*fact{
		// Another branch, pipeline or organization is another row.
		{organization: "acme", pipeline: "web", branch: "fix", number: 4, status: "failed"},
		{organization: "acme", pipeline: "api", branch: "main", number: 2, status: "failed"},
		{organization: "globex", pipeline: "web", branch: "main", number: 1, status: "failed"},
		// Numbers make the order, not when they are known.
		{organization: "acme", pipeline: "web", branch: "main", number: 10, status: "failed"},
		{organization: "acme", pipeline: "web", branch: "main", number: 1, status: "passed"},
		{organization: "acme", pipeline: "web", branch: "main", number: 2, status: "failed"},
		{organization: "acme", pipeline: "web", branch: "main", number: 3, status: "failed"},
		{organization: "acme", pipeline: "web", branch: "main", number: 5, status: "canceled"},
		{organization: "acme", pipeline: "web", branch: "main", number: 6, status: "blocked"},
		{organization: "acme", pipeline: "web", branch: "main", number: 7, status: "unknown"},
		{organization: "acme", pipeline: "web", branch: "main", number: 8, status: "failed"},
		{organization: "acme", pipeline: "web", branch: "main", number: 9, status: "fixed"},
	}}
	got := make(map[string][]int)
	for _, b := range s.Truth() {
		row := b.Organization + "/" + b.Pipeline + "@" + b.Branch
		got[row] = append(got[row], b.ConsecutiveFailures)
	}
	want := map[string][]int{
		"acme/web@fix": {1}, "acme/api@main": {1}, "globex/web@main": {1},
		"acme/web@main": {0, 1, 2, 2, 2, 2, 3, 0, 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("streaks (-want +got):\n%s", diff)
	}
}

func TestStatusIsThatOfTheLastFinish(t *testing.T) {
	t.Parallel()
	type finish struct {
		state   string
		blocked bool
	}
	for name, tc := range map[string]struct {
		flaked   bool
		finishes []finish
		want     string
	}{
		"passed":                      {finishes: []finish{{state: "passed"}}, want: "passed"},
		"passed after a retry":        {flaked: true, finishes: []finish{{state: "passed"}}, want: "fixed"},
		"failed":                      {flaked: true, finishes: []finish{{state: "failed"}}, want: "failed"},
		"failed, then passed":         {finishes: []finish{{state: "failed"}, {state: "passed"}}, want: "fixed"},
		"failed twice":                {finishes: []finish{{state: "failed"}, {state: "failed"}}, want: "failed"},
		"waits for somebody":          {flaked: true, finishes: []finish{{state: "passed", blocked: true}}, want: "blocked"},
		"waited for somebody":         {finishes: []finish{{state: "passed", blocked: true}, {state: "passed"}}, want: "passed"},
		"waited, and failed":          {finishes: []finish{{state: "passed", blocked: true}, {state: "failed"}}, want: "failed"},
		"canceled, whatever it fixed": {flaked: true, finishes: []finish{{state: "canceled"}}, want: "canceled"},
	} {
		f := &fact{flaked: tc.flaked}
		for _, x := range tc.finishes {
			f.finish(x.state, x.blocked)
		}
		if f.status != tc.want {
			t.Errorf("%s: %q, want %q", name, f.status, tc.want)
		}
	}
}

func TestFailedBuildsOfTheDefaultBranchAreAnnounced(t *testing.T) {
	t.Parallel()
	failed := func(parent *fact) *fact {
		return &fact{onDefault: true, status: "failed", everFailed: true, parent: parent}
	}
	for name, tc := range map[string]struct {
		of   *fact
		want string
	}{
		"failed":                                    {failed(nil), "true"},
		"failed elsewhere":                          {&fact{status: "failed", everFailed: true}, "false"},
		"passed":                                    {&fact{onDefault: true, status: "passed"}, "false"},
		"passed after automatic retries":            {&fact{onDefault: true, status: "fixed"}, "false"},
		"failed, then fixed":                        {&fact{onDefault: true, status: "fixed", everFailed: true}, "null"},
		"triggered by one that failed":              {failed(failed(nil)), "null"},
		"triggered by one that was fixed":           {failed(&fact{onDefault: true, status: "fixed", everFailed: true}), "null"},
		"triggered by one that passed":              {failed(&fact{onDefault: true, status: "passed"}), "true"},
		"triggered by one that failed elsewhere":    {failed(&fact{status: "failed", everFailed: true}), "true"},
		"passed, triggered by one that failed":      {&fact{onDefault: true, status: "passed", parent: failed(nil)}, "false"},
		"triggered by what a failed one triggered":  {failed(&fact{onDefault: true, status: "passed", parent: failed(nil)}), "true"},
		"triggered by a failed one that is blocked": {failed(&fact{onDefault: true, status: "blocked"}), "true"},
	} {
		got := "null"
		if a := tc.of.announce(); a != nil {
			got = map[bool]string{true: "true", false: "false"}[*a]
		}
		if got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}
