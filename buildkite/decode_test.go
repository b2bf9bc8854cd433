package buildkite

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParsePayloads(t *testing.T) {
	t.Parallel()
	const (
		webBuild = "018f3a2c-7a51-4c1e-9a55-1d6f0e5b2c11"
		oldBuild = "f62a1b4d-10f9-4790-bc1c-e2c3a0c80983"
	)
	tests := map[string]Delivery{
		"build.finished":     {Event: "build.finished", Kind: BuildEvent, Organization: "acme", Pipeline: "web", Number: 1482, BuildID: webBuild},
		"build.running":      {Event: "build.running", Kind: BuildEvent, Organization: "acme", Pipeline: "web", Number: 1482, BuildID: webBuild},
		"job.finished":       {Event: "job.finished", Kind: JobEvent, Organization: "acme", Pipeline: "web", Number: 1482, BuildID: webBuild, JobID: "018f3a2c-8c02-4f7e-b1a9-4d0a7a2f9e63"},
		"agent.connected":    {Event: "agent.connected", Kind: AgentEvent, Organization: "acme", AgentID: "018f3a10-2f3b-4e0c-8a7d-9d0c4a5b6e7f"},
		"old.build.finished": {Event: "build.finished", Kind: BuildEvent, Organization: "acme", Pipeline: "legacy", Number: 23, BuildID: oldBuild},
		"old.job.finished":   {Event: "job.finished", Kind: JobEvent, Organization: "acme", Pipeline: "legacy", Number: 23, BuildID: oldBuild, JobID: "b63254c0-3271-4a98-8270-7cfbd6c2f14e"},

		"ping":                 {Event: "ping"},
		"organization.updated": {Event: "organization.updated"},
	}
	for _, name := range payloads {
		d, err := Parse(readPayload(t, name), Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := tests[name]
		if diff := cmp.Diff(&want, d, cmpopts.IgnoreFields(Delivery{}, "Key", "Data")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// payloadOf writes a payload from the JSON of its parts; an empty one is left out.
func payloadOf(event, build, job, pipeline, organization, agent string) string {
	var members []string
	for _, m := range [][2]string{
		{"event", `"` + event + `"`},
		{"build", build},
		{"job", job},
		{"pipeline", pipeline},
		{"organization", organization},
		{"agent", agent},
	} {
		if m[1] != "" {
			members = append(members, fmt.Sprintf("%q:%s", m[0], m[1]))
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

func TestParseKinds(t *testing.T) {
	t.Parallel()
	const (
		b = `{"id":"b","number":7}`
		j = `{"id":"j"}`
		p = `{"slug":"p"}`
		o = `{"slug":"o"}`
		a = `{"id":"a"}`
	)
	tests := []struct {
		name, body string
		want       Kind
		problem    string // part of it
	}{
		{"a build", payloadOf("build.finished", b, "", p, o, ""), BuildEvent, ""},
		{"an unknown event of a build", payloadOf("build.renamed", b, "", p, o, ""), BuildEvent, ""},
		{"an unknown event without a build", payloadOf("build.renamed", "", "", p, o, ""), Ignored, ""},
		{"a known event without a build", payloadOf("build.finished", "", "", p, o, ""), 0, "build.finished needs a build"},
		{"a build that is null", payloadOf("build.finished", "null", "", p, o, ""), 0, "needs a build"},
		{"a build that is a list", payloadOf("build.finished", "[]", "", p, o, ""), 0, "needs a build"},
		{"a job", payloadOf("job.finished", b, j, p, o, ""), JobEvent, ""},
		{"an unknown event of a job", payloadOf("job.renamed", b, j, p, o, ""), JobEvent, ""},
		{"an unknown event of a job without one", payloadOf("job.renamed", b, "", p, o, ""), 0, "job.renamed needs job.id"},
		{"an unknown event of a job without a build", payloadOf("job.renamed", "", "", p, o, ""), Ignored, ""},
		{"a job without a build", payloadOf("job.finished", "", j, p, o, ""), 0, "job.finished needs a build"},
		{"a job without an id", payloadOf("job.finished", b, "{}", p, o, ""), 0, "job.finished needs job.id"},
		{"an agent", payloadOf("agent.connected", "", "", "", "", a), AgentEvent, ""},
		{"an unknown event of an agent", payloadOf("agent.renamed", "", "", "", "", a), AgentEvent, ""},
		{"an unknown event without an agent", payloadOf("agent.renamed", "", "", "", o, ""), Ignored, ""},
		{"an agent without an id", payloadOf("agent.lost", "", "", "", o, "{}"), 0, "agent.lost needs agent.id"},
		{"no agent", payloadOf("agent.lost", "", "", "", o, ""), 0, "agent.lost needs agent.id"},
		{"another event with a build", payloadOf("cluster.moved", b, "", p, o, ""), BuildEvent, ""},
		{"another event with an agent", payloadOf("cluster.moved", "", "", "", "", a), AgentEvent, ""},
		{"another event with neither", payloadOf("cluster_token.registration_blocked", "", "", "", o, ""), Ignored, ""},
		{"a ping", payloadOf("ping", "", "", "", "", ""), Ignored, ""},
		{"a ping with a build", payloadOf("ping", b, "", p, o, a), Ignored, ""},

		{"no event", `{}`, 0, "needs an event"},
		{"an event that is no text", `{"event":7}`, 0, "needs an event"},
		{"an empty event", `{"event":""}`, 0, "needs an event"},
		{"an event in upper case", `{"event":"Ping"}`, 0, "needs an event"},
		{"an event with white space", `{"event":"ping\n"}`, 0, "needs an event"},
		{"a long event", `{"event":"` + strings.Repeat("a", 101) + `"}`, 0, "needs an event"},
		{"the longest event", `{"event":"` + strings.Repeat("a", 100) + `"}`, Ignored, ""},
		{"an escaped event", `{"event":"p\u0069ng"}`, Ignored, ""},
		{"the last of two events", `{"event":"build.finished","event":"ping"}`, Ignored, ""},
		{"the last of two builds", `{"build":` + b + `,"build":{"id":"b"},"event":"build.finished","pipeline":` + p + `,"organization":` + o + `}`, 0, "build.number"},
		{"a list", `[]`, 0, "not a JSON object"},
		{"a text", `"x"`, 0, "not a JSON object"},
		{"nothing", ``, 0, "not a JSON object"},
		{"half a body", `{"event":"ping"`, 0, "not valid JSON"},
		{"two bodies", `{"event":"ping"}{}`, 0, "not valid JSON"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d, err := Parse([]byte(tt.body), Options{})
			if tt.problem != "" {
				var parse *ParseError
				if !errors.As(err, &parse) || !strings.Contains(parse.Problem, tt.problem) {
					t.Errorf("error is %v, want a ParseError with %q", err, tt.problem)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d.Kind != tt.want {
				t.Errorf("kind is %d, want %d", d.Kind, tt.want)
			}
		})
	}
}

func TestParseRefusesAddressesThatAreNone(t *testing.T) {
	t.Parallel()
	quote := func(s string) string { return `"` + s + `"` }
	ids := []string{
		"", "null", "7", "{}", `""`, quote(strings.Repeat("x", 101)), `"a\u0000"`, `"a\n"`, `"\u007f"`,
		`"\ud800"`, "\"\xff\"", `"https://u:p@h"`,
	}
	slugs := []string{"", "null", "7", `""`, quote(strings.Repeat("x", 201)), `"a\u0000"`, `"\ud800"`, "\"\xff\"", `"a/b"`}
	numbers := []string{"", "null", `"7"`, "0", "-1", "1.0", "1e3", "9223372036854775808", "true", "[]"}
	member := func(name, value string) string {
		if value == "" {
			return `"unset":0`
		}
		return quote(name) + ":" + value
	}
	body := func(id, number, slug, organization string) string {
		return `{"event":"build.finished","build":{` + member("id", id) + `,` + member("number", number) +
			`},"pipeline":{` + member("slug", slug) + `},"organization":{` + member("slug", organization) + `}}`
	}
	if _, err := Parse([]byte(body(quote(strings.Repeat("é", 50)), "9223372036854775807", quote(strings.Repeat("x", 200)), `"o"`)), Options{}); err != nil {
		t.Fatalf("what is just short enough is refused: %v", err)
	}
	refuse := func(field, value, body string) {
		if d, err := Parse([]byte(body), Options{}); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s %q: %+v, %v", field, value, d, err)
		}
	}
	for _, id := range ids {
		refuse("build.id", id, body(id, "7", `"p"`, `"o"`))
	}
	for _, number := range numbers {
		refuse("build.number", number, body(`"b"`, number, `"p"`, `"o"`))
	}
	for _, slug := range slugs {
		refuse("pipeline.slug", slug, body(`"b"`, "7", slug, `"o"`))
		refuse("organization", slug, body(`"b"`, "7", `"p"`, slug))
	}
}

func TestOrganizationComesFromWhateverTells(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, build, pipeline, organization, want string }{
		{"itself", `"url":"https://api/v2/organizations/b/pipelines/p/builds/7"`, `"url":"https://api/v2/organizations/p/pipelines/p"`, `{"slug":"o"}`, "o"},
		{"the pipeline's URL", `"url":"https://api/v2/organizations/b/pipelines/p/builds/7"`, `"url":"https://api/v2/organizations/p/pipelines/p"`, `{"slug":null}`, "p"},
		{"the build's URL", `"url":"https://api/v2/organizations/b/pipelines/p/builds/7"`, `"web_url":"https://bk/w/p"`, `null`, "b"},
		{"the build's page", `"web_url":"https://buildkite.com/w/p/builds/7"`, `"url":"https://api/x"`, `null`, "w"},
		{"the pipeline's page", `"web_url":""`, `"web_url":"https://buildkite.com/w/p"`, `null`, "w"},
		{"an escaped URL", `"web_url":"https:\/\/buildkite.com\/w\/p"`, `"x":0`, `null`, "w"},
		{"not a query", `"web_url":"https://buildkite.com/w/p?x=/organizations/q/"`, `"url":"https://api/?x=/organizations/q/"`, `null`, "w"},
		{"the URL without its credentials", `"url":"https://a:b/organizations/x/@h/v2/organizations/b/"`, `"x":0`, `null`, "b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			body := payloadOf("build.finished", `{"id":"b","number":7,`+tt.build+`}`, "", `{"slug":"p",`+tt.pipeline+`}`, tt.organization, "")
			d, err := Parse([]byte(body), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if d.Organization != tt.want {
				t.Errorf("got %q, want %q", d.Organization, tt.want)
			}
		})
	}
}

func TestErrorsQuoteNothing(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"event":"hunter2!"}`, `{"event":"ping","x":hunter2}`, `{"hunter2`, `hunter2`,
		`{"event":"build.finished","build":{"id":"hunter2","number":"hunter2"}}`,
	} {
		if _, err := Parse([]byte(body), Options{}); err == nil || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: %v", body, err)
		}
	}
}
