package build

import (
	"math/rand"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var epoch = time.Date(2024, 5, 1, 10, 0, 0, 0, time.UTC)

func at(minutes int) time.Time {
	if minutes < 0 {
		return time.Time{}
	}
	return epoch.Add(time.Duration(minutes) * time.Minute)
}

// someFacts draws deliveries from small pools, so that versions tie, differ in
// fields that never differ in life, and come without fields they should have.
func someFacts(t *rapid.T) *Facts {
	text := func(label string, pool ...string) string { return rapid.SampledFrom(pool).Draw(t, label) }
	moment := func(label string) time.Time { return at(rapid.IntRange(-1, 3).Draw(t, label)) }
	optional := func(label string) *int {
		if n := rapid.IntRange(-1, 2).Draw(t, label); n >= 0 {
			return &n
		}
		return nil
	}
	f := &Facts{
		Event: "build.finished",
		Build: BuildFacts{
			ID: "b", Number: 1,
			State:   text("state", "", "scheduled", "running", "failing", "passed", "failed", "canceled", "not_run", "surprising", "astonishing"),
			Blocked: rapid.Bool().Draw(t, "blocked"), FinishedAt: moment("finished"), CreatedAt: moment("created"), StartedAt: moment("started"),
			Branch: text("branch", "", "main", "other"), Commit: text("commit", "", "HEAD", "abc"), Message: text("message", "", "one", "two"),
			AuthorName: text("author", "", "A", "B"), WebURL: text("url", "", "https://a", "https://b"),
			TriggeredFrom: Origin{BuildID: text("parent", "", "p", "q"), Number: 1, Pipeline: "up"},
		},
	}
	for range rapid.IntRange(0, 2).Draw(t, "jobs") {
		f.Jobs = append(f.Jobs, JobFacts{
			ID: text("job", "j1", "j2", "j3"), Type: text("type", "", "script", "trigger"), Name: text("name", "", "lint", "test"),
			StepID: text("step", "", "s1", "s2"), StepKey: text("key", "", "k"),
			State:      text("job state", "", "running", "passed", "failed", "timed_out", "broken", "canceled", "novel", "newer"),
			ExitStatus: optional("exit"), SoftFailed: rapid.Bool().Draw(t, "soft"), ParallelGroupIndex: optional("parallel"),
			RetriedInJobID: text("retried in", "", "j1", "j2", "j3"), RetrySourceJobID: text("source", "", "j1", "j2", "j3"),
			FinishedAt: moment("job finished"), CreatedAt: moment("job created"), TriggeredBuildID: text("triggered", "", "c1", "c2"),
			Async: rapid.Bool().Draw(t, "async"), RunnableAt: moment("job runnable"), StartedAt: moment("job started"), Queue: text("queue", "", "default", "deploy"),
		})
	}
	return f
}

func foldAll(facts []*Facts) *Build {
	b := New("b", "acme", "web", 1)
	for _, f := range facts {
		b.Apply(f)
	}
	return b
}

func TestFoldDoesNotDependOnOrderOrRepetition(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		facts := rapid.SliceOfN(rapid.Custom(someFacts), 1, 8).Draw(t, "deliveries")
		want := foldAll(facts)
		shuffled := append([]*Facts{}, facts...)
		for range rapid.IntRange(0, 5).Draw(t, "repeated") {
			shuffled = append(shuffled, rapid.SampledFrom(facts).Draw(t, "again"))
		}
		r := rand.New(rand.NewSource(rapid.Int64().Draw(t, "order")))
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		got := foldAll(shuffled)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("another order gave another build:\n%s", diff)
		}
		if diff := cmp.Diff(want.View(), got.View()); diff != "" {
			t.Fatalf("another order gave another view:\n%s", diff)
		}
	})
}

func TestFoldOfStoredBuildGoesOn(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		facts := rapid.SliceOfN(rapid.Custom(someFacts), 2, 8).Draw(t, "deliveries")
		cut := rapid.IntRange(0, len(facts)).Draw(t, "cut")
		b, err := Decode(Encode(foldAll(facts[:cut])))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range facts[cut:] {
			b.Apply(f)
		}
		if diff := cmp.Diff(foldAll(facts).View(), b.View()); diff != "" {
			t.Fatalf("storing it in between changed the build:\n%s", diff)
		}
	})
}

func TestClonesShareNothingThatChanges(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		facts := rapid.SliceOfN(rapid.Custom(someFacts), 2, 8).Draw(t, "deliveries")
		b := foldAll(facts[:1])
		before := Encode(b)
		c := b.Clone()
		for _, f := range facts[1:] {
			c.Apply(f)
		}
		c.Borrow("child", Child{Number: 1})
		if diff := cmp.Diff(string(before), string(Encode(b))); diff != "" {
			t.Fatalf("changing the clone changed the build:\n%s", diff)
		}
	})
}

func TestJobsAreBounded(t *testing.T) {
	t.Parallel()
	forward, backward := New("b", "acme", "web", 1), New("b", "acme", "web", 1)
	const n = maxJobs + 50
	name := func(i int) string {
		return string([]byte{byte('a' + i/2600%26), byte('a' + i/100%26), byte('0' + i/10%10), byte('0' + i%10)})
	}
	for i := range n {
		forward.applyJob(&JobFacts{ID: name(i)})
		backward.applyJob(&JobFacts{ID: name(n - 1 - i)})
	}
	if len(forward.Jobs) != maxJobs {
		t.Errorf("%d jobs are kept, want %d", len(forward.Jobs), maxJobs)
	}
	if diff := cmp.Diff(forward, backward); diff != "" {
		t.Error("which jobs are kept depends on their order")
	}
}
