package build

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func intp(n int) *int { return &n }

func TestStatus(t *testing.T) {
	t.Parallel()
	shown := func(state string, finished int) *Facts {
		return &Facts{Build: BuildFacts{ID: "b", State: state, FinishedAt: at(finished)}}
	}
	blocked := func(state string, finished int) *Facts {
		f := shown(state, finished)
		f.Build.Blocked = true
		return f
	}
	withJob := func(f *Facts, jobs ...JobFacts) *Facts { f.Jobs = jobs; return f }
	tests := []struct {
		name  string
		facts []*Facts
		want  Status
	}{
		{"nothing known", nil, Running},
		{"running", []*Facts{shown("running", -1)}, Running},
		{"failing is not failed yet", []*Facts{shown("failing", -1)}, Running},
		{"canceling is not canceled yet", []*Facts{shown("canceling", -1)}, Running},
		{"passed", []*Facts{shown("passed", 5)}, Passed},
		{"failed", []*Facts{shown("failed", 5)}, Failed},
		{"canceled", []*Facts{shown("canceled", 5)}, Canceled},
		{"skipped", []*Facts{shown("skipped", 5)}, Unknown},
		{"not run", []*Facts{shown("not_run", 5)}, Unknown},
		{"final without a time", []*Facts{shown("failed", -1), shown("running", -1)}, Failed},
		{"passed at a block step", []*Facts{blocked("passed", 5)}, Blocked},
		{"failed at a block step", []*Facts{blocked("failed", 5)}, Blocked},
		{"unblocked and passed", []*Facts{blocked("passed", 5), shown("running", -1), shown("passed", 9)}, Passed},
		{"a retry runs: the finish stands", []*Facts{shown("failed", 5), shown("running", -1)}, Failed},
		{"failed, then passed", []*Facts{shown("failed", 5), shown("passed", 9)}, Fixed},
		{"passed, then failed", []*Facts{shown("passed", 5), shown("failed", 9)}, Failed},
		{"failed, fixed, failed again", []*Facts{shown("failed", 5), shown("passed", 7), shown("failed", 9)}, Failed},
		{"failed, then canceled", []*Facts{shown("failed", 5), shown("canceled", 9)}, Canceled},
		{"a step fixed by a retry", []*Facts{withJob(shown("passed", 9),
			JobFacts{ID: "1", StepID: "s", State: "failed", FinishedAt: at(3)},
			JobFacts{ID: "2", StepID: "s", State: "passed", FinishedAt: at(6)})}, Fixed},
		{"a soft failure fixes nothing", []*Facts{withJob(shown("passed", 9),
			JobFacts{ID: "1", StepID: "s", State: "failed", SoftFailed: true, FinishedAt: at(3)},
			JobFacts{ID: "2", StepID: "s", State: "passed", FinishedAt: at(6)})}, Passed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := foldAll(tt.facts).Status(); got != tt.want {
				t.Errorf("status %s, want %s", got, tt.want)
			}
		})
	}
}

func TestSteps(t *testing.T) {
	t.Parallel()
	type step struct {
		Name   string
		Status Status
		Chains [][]string
	}
	tests := []struct {
		name  string
		state string
		jobs  []JobFacts
		want  []step
	}{
		{
			name: "jobs share a step by id, then key, then name", state: "passed",
			jobs: []JobFacts{
				{ID: "1", StepID: "s", Name: "a", State: "passed", FinishedAt: at(1), ParallelGroupIndex: intp(0)},
				{ID: "2", StepID: "s", Name: "a", State: "passed", FinishedAt: at(2), ParallelGroupIndex: intp(1)},
				{ID: "3", StepKey: "k", Name: "b", State: "passed", FinishedAt: at(3)},
				{ID: "4", StepKey: "k", Name: "c", State: "passed", FinishedAt: at(4)},
				{ID: "5", Name: "d", State: "passed", FinishedAt: at(5)},
			},
			want: []step{{"a", Passed, [][]string{{"1"}, {"2"}}}, {"b", Passed, [][]string{{"3"}, {"4"}}}, {"d", Passed, [][]string{{"5"}}}},
		},
		{
			name: "a retry fixes", state: "passed",
			jobs: []JobFacts{
				{ID: "2", Name: "a", State: "passed", FinishedAt: at(2), RetrySourceJobID: "1"},
				{ID: "1", Name: "a", State: "failed", FinishedAt: at(1), RetriedInJobID: "2"},
			},
			want: []step{{"a", Fixed, [][]string{{"1", "2"}}}},
		},
		{
			name: "one chain failed, another was fixed", state: "failed",
			jobs: []JobFacts{
				{ID: "1", Name: "a", State: "failed", FinishedAt: at(1), ParallelGroupIndex: intp(0)},
				{ID: "2", Name: "a", State: "passed", FinishedAt: at(2), ParallelGroupIndex: intp(0)},
				{ID: "3", Name: "a", State: "failed", FinishedAt: at(3), ParallelGroupIndex: intp(1)},
			},
			want: []step{{"a", Failed, [][]string{{"1", "2"}, {"3"}}}},
		},
		{
			name: "the jobs of a matrix are no retries", state: "failed",
			jobs: []JobFacts{
				{ID: "1", StepID: "s", Name: "a", Matrix: `["x"]`, State: "failed", FinishedAt: at(1)},
				{ID: "2", StepID: "s", Name: "a", Matrix: `["y"]`, State: "passed", FinishedAt: at(2)},
			},
			want: []step{{"a", Failed, [][]string{{"1"}, {"2"}}}},
		},
		{
			name: "links win over times", state: "failed",
			jobs: []JobFacts{
				{ID: "1", Name: "a", State: "passed", FinishedAt: at(9)},
				{ID: "2", Name: "a", State: "failed", FinishedAt: at(1), RetrySourceJobID: "1"},
			},
			want: []step{{"a", Failed, [][]string{{"1", "2"}}}},
		},
		{
			name: "a circle of links ends", state: "failed",
			jobs: []JobFacts{
				{ID: "1", Name: "a", State: "failed", FinishedAt: at(1), RetrySourceJobID: "2"},
				{ID: "2", Name: "a", State: "failed", FinishedAt: at(2), RetrySourceJobID: "1"},
			},
			want: []step{{"a", Failed, [][]string{{"2", "1"}}}},
		},
		{
			name: "a running retry does not hide the failure", state: "failed",
			jobs: []JobFacts{
				{ID: "1", Name: "a", State: "failed", FinishedAt: at(1), RetriedInJobID: "2"},
				{ID: "2", Name: "a", State: "running", FinishedAt: at(-1)},
			},
			want: []step{{"a", Failed, [][]string{{"1", "2"}}}},
		},
		{
			name: "a step runs while one of its jobs does", state: "running",
			jobs: []JobFacts{
				{ID: "1", Name: "a", State: "passed", FinishedAt: at(1), ParallelGroupIndex: intp(0)},
				{ID: "2", Name: "a", State: "running", FinishedAt: at(-1), ParallelGroupIndex: intp(1)},
			},
			want: []step{{"a", Running, [][]string{{"1"}, {"2"}}}},
		},
		{
			name: "waiters, blocks and triggers are no steps", state: "passed",
			jobs: []JobFacts{
				{ID: "1", Type: "waiter", State: "passed"},
				{ID: "2", Type: "manual", Name: "go?", State: "passed"},
				{ID: "3", Type: "trigger", Name: "deploy", State: "failed"},
				{ID: "4", Type: "script", Name: "a", State: "passed", FinishedAt: at(1)},
			},
			want: []step{{"a", Passed, [][]string{{"4"}}}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := foldAll([]*Facts{{Build: BuildFacts{ID: "b", State: tt.state}, Jobs: tt.jobs}})
			var got []step
			for _, s := range b.Steps() {
				g := step{Name: s.Name, Status: s.Status}
				for _, c := range s.Chains {
					var ids []string
					for _, j := range c {
						ids = append(ids, j.ID)
					}
					g.Chains = append(g.Chains, ids)
				}
				got = append(got, g)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFailedAttempt(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		job  JobFacts
		want bool
	}{
		{"failed", JobFacts{State: "failed"}, true},
		{"timed out", JobFacts{State: "timed_out"}, true},
		{"expired", JobFacts{State: "expired"}, true},
		{"exit status", JobFacts{State: "finished", ExitStatus: intp(1)}, true},
		{"negative exit status", JobFacts{State: "passed", ExitStatus: intp(-1)}, true},
		{"passed", JobFacts{State: "passed", ExitStatus: intp(0)}, false},
		{"soft failed", JobFacts{State: "failed", ExitStatus: intp(1), SoftFailed: true}, false},
		{"canceled", JobFacts{State: "canceled", ExitStatus: intp(143)}, false},
		{"skipped", JobFacts{State: "skipped", ExitStatus: intp(1)}, false},
		{"broken", JobFacts{State: "broken", ExitStatus: intp(1)}, false},
		{"running", JobFacts{State: "running", ExitStatus: intp(1)}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			j := new(Job)
			j.apply(&tt.job)
			if j.Failed() != tt.want {
				t.Errorf("failed: %v, want %v", j.Failed(), tt.want)
			}
		})
	}
}

func TestTriggeredBuildsLendFailedSteps(t *testing.T) {
	t.Parallel()
	failed := func(id, pipeline, job string) *Build {
		b := New(id, "acme", pipeline, 7)
		b.Apply(&Facts{
			Build: BuildFacts{ID: id, State: "failed", FinishedAt: at(5)},
			Jobs:  []JobFacts{{ID: id + job, Name: job, State: "failed", FinishedAt: at(4), WebURL: "https://x/" + job}},
		})
		return b
	}
	grandchild, child, aside := failed("g", "smoke", "curl"), failed("c", "deploy", "apply"), failed("d", "docs", "spell")
	child.Borrow("g", grandchild.Lend())
	parent := New("p", "acme", "web", 1)
	parent.Apply(&Facts{
		Build: BuildFacts{ID: "p", State: "failed", FinishedAt: at(9)},
		Jobs: []JobFacts{
			{ID: "t1", Type: "trigger", State: "failed", TriggeredBuildID: "c"},
			{ID: "t2", Type: "trigger", State: "passed", TriggeredBuildID: "d", Async: true},
			{ID: "j", Name: "unit", State: "failed", FinishedAt: at(4)},
		},
	})
	parent.Borrow("d", aside.Lend())
	parent.Borrow("c", child.Lend())
	want := []FailedStep{
		{Name: "unit"},
		{Name: "deploy: apply", WebURL: "https://x/apply"},
		{Name: "smoke: curl", WebURL: "https://x/curl"},
		{Name: "docs: spell", WebURL: "https://x/spell", Uncounted: true},
	}
	if diff := cmp.Diff(want, parent.FailedSteps()); diff != "" {
		t.Errorf("failed steps (-want +got):\n%s", diff)
	}
	running := New("r", "acme", "deploy", 8)
	running.Apply(&Facts{Build: BuildFacts{ID: "r", State: "failing"}, Jobs: []JobFacts{{ID: "x", Name: "x", State: "failed", FinishedAt: at(1)}}})
	if lent := running.Lend(); lent.Failed != nil {
		t.Errorf("a running build lends %v", lent.Failed)
	}
}
