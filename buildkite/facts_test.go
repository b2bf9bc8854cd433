package buildkite

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/build"
)

func number(n int) *int { return &n }

func factsOf(t *testing.T, body string) build.Facts {
	t.Helper()
	d, err := Parse([]byte(body), Options{})
	if err != nil {
		t.Fatalf("Parse: %v\n%s", err, body)
	}
	f, err := Facts(d.Data)
	if err != nil {
		t.Fatalf("Facts: %v\n%s", err, d.Data)
	}
	return f
}

func TestFactsOfPayloads(t *testing.T) {
	t.Parallel()
	web := build.BuildFacts{
		ID: "018f3a2c-7a51-4c1e-9a55-1d6f0e5b2c11", Organization: "acme", Pipeline: "web",
		PipelineName: "Web :rocket:", DefaultBranch: "main",
		Repository: "https://***@github.com/acme/web.git", Number: 1482,
		WebURL: "https://buildkite.com/acme/web/builds/1482", Branch: "main",
		Commit: "7d3c1f0a9b8e4c6d5f2a1b0c9d8e7f6a5b4c3d2e",
		Message: "Retry the payment webhook once\n\nThe provider answers 502 while it deploys; see\n" +
			"https://***@wiki.acme.example/payments?page=7&access_token=*** for \"details\".\n\nFixes #4711 — naïve retry",
		AuthorName: "Priya Natarajan", AuthorEmail: "priya@acme.example", State: "failed",
		CreatedAt:  time.Date(2024, 5, 1, 10, 0, 0, 123e6, time.UTC),
		StartedAt:  time.Date(2024, 5, 1, 10, 0, 9, 870e6, time.UTC),
		FinishedAt: time.Date(2024, 5, 1, 10, 12, 44, 318e6, time.UTC),
	}
	running := web
	running.State, running.FinishedAt, running.Message = "running", time.Time{}, "Bump deps"
	running.AuthorName, running.Branch, running.PullRequest = "Renovate", "renovate/go-1.x", "4711"
	running.BaseBranch = "main"
	running.TriggeredFrom = build.Origin{BuildID: "018f3a2b-0000-4c1e-9a55-1d6f0e5b2c99", Number: 77, Pipeline: "deploy"}
	old := build.BuildFacts{
		ID: "f62a1b4d-10f9-4790-bc1c-e2c3a0c80983", Organization: "acme", Pipeline: "legacy",
		PipelineName: "Legacy", DefaultBranch: "master", Repository: "git@github.com:acme/legacy.git", Number: 23,
		WebURL: "https://buildkite.com/acme/legacy/builds/23", Branch: "master", Commit: "HEAD", Message: "Upgrade",
		AuthorName: "Sam Smith", AuthorEmail: "sam@acme.example", State: "passed", Blocked: true,
		CreatedAt:  time.Date(2018, 7, 1, 20, 14, 38, 0, time.UTC),
		StartedAt:  time.Date(2018, 7, 1, 20, 14, 45, 0, time.UTC),
		FinishedAt: time.Date(2018, 7, 1, 20, 21, 2, 0, time.UTC),
	}
	tests := map[string]build.Facts{
		"build.finished":     {Event: "build.finished", Build: web},
		"build.running":      {Event: "build.running", Build: running},
		"old.build.finished": {Event: "build.finished", Build: old},
		"job.finished": {Event: "job.finished", Build: web, Jobs: []build.JobFacts{{
			ID: "018f3a2c-8c02-4f7e-b1a9-4d0a7a2f9e63", Type: "script", Name: ":go: test",
			StepID: "018f3a2c-7b10-4d2e-8c33-5e6f7a8b9c0d", StepKey: "test", State: "failed", ExitStatus: number(1),
			ParallelGroupIndex: number(2), Matrix: `{"go":"1.22","os":"linux"}`,
			RetrySourceJobID: "018f3a2c-8c02-4f7e-b1a9-000000000001",
			WebURL:           "https://buildkite.com/acme/web/builds/1482#018f3a2c-8c02-4f7e-b1a9-4d0a7a2f9e63",
			CreatedAt:        time.Date(2024, 5, 1, 10, 0, 0, 201e6, time.UTC),
			RunnableAt:       time.Date(2024, 5, 1, 10, 0, 8, 2e6, time.UTC), Queue: "linux",
			StartedAt:  time.Date(2024, 5, 1, 10, 0, 12, 940e6, time.UTC),
			FinishedAt: time.Date(2024, 5, 1, 10, 11, 58, 771e6, time.UTC),
		}}},
		"old.job.finished": {Event: "job.finished", Build: old, Jobs: []build.JobFacts{{
			ID: "b63254c0-3271-4a98-8270-7cfbd6c2f14e", Type: "script", Name: "test", State: "finished", ExitStatus: number(0),
			WebURL:     "https://buildkite.com/acme/legacy/builds/23#b63254c0",
			CreatedAt:  time.Date(2018, 7, 1, 20, 14, 38, 0, time.UTC),
			StartedAt:  time.Date(2018, 7, 1, 20, 14, 50, 0, time.UTC),
			FinishedAt: time.Date(2018, 7, 1, 20, 20, 59, 0, time.UTC),
		}}},
	}
	for name, want := range tests {
		if diff := cmp.Diff(want, factsOf(t, string(readPayload(t, name)))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// bare is what every payload of these tests says.
var bare = build.BuildFacts{ID: "b", Organization: "o", Pipeline: "p", Number: 7}

func TestFactsOfBuilds(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, members string
		want          func(*build.BuildFacts)
	}{
		{"nothing", `"x":0`, func(*build.BuildFacts) {}},
		{"wrong types", `"state":1,"blocked":"true","message":[],"commit":{},"branch":false,"author":7,"creator":[],"created_at":1714557600,"pull_request":false,"triggered_from":"b","web_url":0,"jobs":{}`, func(*build.BuildFacts) {}},
		{"nulls", `"state":null,"blocked":null,"message":null,"author":null,"creator":null,"created_at":null,"pull_request":null,"triggered_from":null,"jobs":null`, func(*build.BuildFacts) {}},
		{"an author that is a text", `"author":"Jo"`, func(b *build.BuildFacts) { b.AuthorName = "Jo" }},
		{"an author with an email", `"author":"Jo <jo@x>"`, func(b *build.BuildFacts) { b.AuthorName, b.AuthorEmail = "Jo", "jo@x" }},
		{"an author of another form", `"author":"Jo < x"`, func(b *build.BuildFacts) { b.AuthorName = "Jo < x" }},
		{"an author's user name", `"author":{"username":"jo","email":"jo@x"}`, func(b *build.BuildFacts) { b.AuthorName, b.AuthorEmail = "jo", "jo@x" }},
		{"the creator", `"author":null,"creator":{"name":"Jo","email":"jo@x"}`, func(b *build.BuildFacts) { b.AuthorName, b.AuthorEmail = "Jo", "jo@x" }},
		{"the creator's email", `"author":"Jo","creator":{"name":"Joanna","email":"jo@x"}`, func(b *build.BuildFacts) { b.AuthorName, b.AuthorEmail = "Jo", "jo@x" }},
		{"a pull request with a number", `"pull_request":{"id":12}`, func(b *build.BuildFacts) { b.PullRequest = "12" }},
		{"the base of a pull request", `"pull_request":{"id":"12","base":"main"}`, func(b *build.BuildFacts) { b.PullRequest, b.BaseBranch = "12", "main" }},
		{"a pull request without one", `"pull_request":{}`, func(*build.BuildFacts) {}},
		{"a trigger without an id", `"triggered_from":{"build_number":1}`, func(*build.BuildFacts) {}},
		{"a state that nobody knows", `"state":"dreaming"`, func(b *build.BuildFacts) { b.State = "dreaming" }},
		{"NUL and half characters", `"message":"a\u0000b\ud800c\ud83d\ude00"`, func(b *build.BuildFacts) { b.Message = "a\uFFFDb\uFFFDc😀" }},
		{"a long message", `"message":"` + strings.Repeat("é", 20_000) + `"`, func(b *build.BuildFacts) { b.Message = strings.Repeat("é", 10_000) }},
		{"a long name", `"branch":"` + strings.Repeat("b", 501) + `"`, func(b *build.BuildFacts) { b.Branch = strings.Repeat("b", 500) }},
		{"a long URL", `"web_url":"https://h/` + strings.Repeat("b", 2000) + `"`, func(*build.BuildFacts) {}},
		{"an escaped name", `"st\u0061te":"failed"`, func(b *build.BuildFacts) { b.State = "failed" }},
		{"the last of duplicates", `"state":"failed","state":"passed","author":{"name":"a","name":"b"}`, func(b *build.BuildFacts) { b.State, b.AuthorName = "passed", "b" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			body := payloadOf("build.finished", `{"id":"b","number":7,`+tt.members+`}`, "", `{"slug":"p"}`, `{"slug":"o"}`, "")
			want := build.Facts{Event: "build.finished", Build: bare}
			tt.want(&want.Build)
			if diff := cmp.Diff(want, factsOf(t, body)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestFactsOfJobs(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, members string
		want          build.JobFacts
	}{
		{"nothing", `"x":0`, build.JobFacts{}},
		{"wrong types", `"type":1,"name":[],"step":"s","step_key":0,"exit_status":"one","soft_failed":"yes","parallel_group_index":"x","retry_source":[],"triggered_build":true,"async":1,"finished_at":true`, build.JobFacts{}},
		{"nulls", `"name":null,"step":null,"exit_status":null,"soft_failed":null,"matrix":null,"retried_in_job_id":null,"retry_source":null,"triggered_build":null`, build.JobFacts{}},
		{"an exit status", `"exit_status":137`, build.JobFacts{ExitStatus: number(137)}},
		{"an exit status below 0", `"exit_status":-1`, build.JobFacts{ExitStatus: number(-1)}},
		{"an exit status of Windows", `"exit_status":3221225477`, build.JobFacts{ExitStatus: number(3221225477)}},
		{"an exit status that is a text", `"exit_status":"2"`, build.JobFacts{ExitStatus: number(2)}},
		{"an exit status that is no integer", `"exit_status":1.5`, build.JobFacts{}},
		{"an exit status beyond all", `"exit_status":1e99`, build.JobFacts{}},
		{"a retry", `"retried_in_job_id":"r","retry_source":{"job_id":"s"}`, build.JobFacts{RetriedInJobID: "r", RetrySourceJobID: "s"}},
		{
			"a queue that it asks for", `"runnable_at":"2024-05-01T10:00:01Z","agent_query_rules":[1,"os=linux","queue=deploy","queue=other"],"agent":{"meta_data":["queue=default"]}`,
			build.JobFacts{RunnableAt: time.Date(2024, 5, 1, 10, 0, 1, 0, time.UTC), Queue: "deploy"},
		},
		{"the queue of its agent", `"agent_query_rules":[],"agent":{"id":"a","meta_data":["os=linux","queue=builders"]}`, build.JobFacts{Queue: "builders"}},
		{"no queue", `"agent_query_rules":["os=linux"],"agent":null`, build.JobFacts{}},
		{"queues of another form", `"runnable_at":7,"agent_query_rules":"queue=a","agent":["queue=b"]`, build.JobFacts{}},
		{"a trigger", `"type":"trigger","async":true,"triggered_build":{"id":"t"}`, build.JobFacts{Type: "trigger", Async: true, TriggeredBuildID: "t"}},
		{"a matrix of one", `"matrix":"linux"`, build.JobFacts{Matrix: `"linux"`}},
		{"a matrix with spaces", `"matrix":{ "os" : "a b" }`, build.JobFacts{Matrix: `{"os":"a b"}`}},
		{"a matrix in another order", `"matrix":{"os":"linux","arch":{"b":2,"a":1}}`, build.JobFacts{Matrix: `{"arch":{"a":1,"b":2},"os":"linux"}`}},
		{"a matrix with a name twice", `"matrix":{"b":"1","a":"2","b":"3"}`, build.JobFacts{Matrix: `{"b":"1","a":"2","b":"3"}`}},
		{"a step's key", `"step":{"id":"s","key":"k"}`, build.JobFacts{StepID: "s", StepKey: "k"}},
		{"a soft failure", `"state":"failed","soft_failed":true`, build.JobFacts{State: "failed", SoftFailed: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.want.ID = "j"
			body := payloadOf("job.finished", `{"id":"b","number":7}`, `{"id":"j",`+tt.members+`}`, `{"slug":"p"}`, `{"slug":"o"}`, "")
			want := build.Facts{Event: "job.finished", Build: bare, Jobs: []build.JobFacts{tt.want}}
			if diff := cmp.Diff(want, factsOf(t, body)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestFactsTakesTheJobsThatABuildLists(t *testing.T) {
	t.Parallel()
	body := payloadOf("build.finished", `{"id":"b","number":7,"jobs":[{"id":"1","state":"passed"},{"state":"no id"},null,[],7,{"id":"2","step":{"id":"s"}}]}`,
		"", `{"slug":"p"}`, `{"slug":"o"}`, "")
	want := []build.JobFacts{{ID: "1", State: "passed"}, {ID: "2", StepID: "s"}}
	if diff := cmp.Diff(want, factsOf(t, body).Jobs); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Of duplicates the last one counts, and nothing of those before it.
func TestFactsOfTheLastOfDuplicates(t *testing.T) {
	t.Parallel()
	body := `{"event":"job.finished",
		"build":{"id":"x","number":8,"state":"failed","jobs":[{"id":"k"}]},"build":{"id":"b","number":7},
		"job":{"id":"i","name":"n"},"job":{"id":"j"},
		"pipeline":{"slug":"q","name":"n","default_branch":"d","repository":"r"},"pipeline":{"slug":"p"},
		"organization":{"slug":"u"},"organization":{"slug":"o"}}`
	want := build.Facts{Event: "job.finished", Build: bare, Jobs: []build.JobFacts{{ID: "j"}}}
	if diff := cmp.Diff(want, factsOf(t, body)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLongMatricesStayDifferent(t *testing.T) {
	t.Parallel()
	of := func(matrix string) string {
		body := payloadOf("job.finished", `{"id":"b","number":7}`, `{"id":"j","matrix":"`+matrix+`"}`, `{"slug":"p"}`, `{"slug":"o"}`, "")
		return factsOf(t, body).Jobs[0].Matrix
	}
	long := strings.Repeat("m", 1<<20)
	a, b := of(long+"a"), of(long+"b")
	if a == b || len(a) > 100 {
		t.Errorf("got %q and %q", a, b)
	}
}

func TestFactsNeedABuild(t *testing.T) {
	t.Parallel()
	for _, data := range []string{
		"", "{", "[]", "null", "{}{}", `{"event":"build.finished"}`, `{"event":"build.finished","build":{"id":"b"}}`,
		payloadOf("agent.connected", "", "", "", `{"slug":"o"}`, `{"id":"a"}`),
	} {
		var parse *ParseError
		if f, err := Facts([]byte(data)); !errors.As(err, &parse) {
			t.Errorf("%q: %+v, %v", data, f, err)
		}
	}
}
