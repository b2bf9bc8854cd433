package buildtracker

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/config"
	"github.com/build-tracker/build-tracker/internal/testenv"
	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
)

// keys returns the names of a JSON object's members, in order.
func keys(t testing.TB, object json.RawMessage) []string {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(object)))
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	var names []string
	for d.More() {
		name, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, fmt.Sprint(name))
		if err := d.Decode(new(json.RawMessage)); err != nil {
			t.Fatal(err)
		}
	}
	return names
}

// failure is a build that failed on fixed times, with all there is to say.
func failure(number int) []traffic.Delivery {
	b := tell("web", number)
	b.fields["created_at"] = fmt.Sprintf("2024-05-01T10:%02d:00.123Z", number)
	b.fields["started_at"] = fmt.Sprintf("2024-05-01 10:%02d:01 UTC", number) // as old payloads have it
	b.fields["author"] = map[string]any{"name": "Ann", "email": "ann@example.com"}
	b.fields["message"] = "Fix <it> & more\n\nAt length"
	at := func(second int) string { return fmt.Sprintf("2024-05-01T10:%02d:%02d.5+00:00", number, second) }
	failed := b.job("lint", "failed", "exit_status", 1, "finished_at", at(10), "retried_in_job_id", b.id()+"lintpassed")
	passed := b.job("lint", "passed", "exit_status", 0, "finished_at", at(20))
	test := b.job("test", "timed_out", "finished_at", at(30))
	soft := b.job("audit", "failed", "exit_status", 2, "soft_failed", true, "finished_at", at(5))
	b.fields["state"], b.fields["finished_at"] = "failed", at(40)
	return []traffic.Delivery{failed, passed, test, soft, b.event("build.finished", nil)}
}

func TestBuildIsShownAsPromised(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		slack := testenv.NewSlack(t, testenv.SlackOptions{})
		r := startServer(t, s, func(c *config.Config) {
			c.SlackToken, c.SlackChannel, c.SlackAPIURL = config.Secret(slack.Token()), "builds", slack.URL()
			c.NoticeMaxAge = 1 << 62
		})
		r.record(failure(41)...)
		r.record(failure(42)...)
		r.settle()
		got := r.get("/api/builds/acme/web/42")
		if kind := got.header.Get("Content-Type"); kind != "application/json" {
			t.Errorf("Content-Type is %q", kind)
		}
		body := regexp.MustCompile(`"ts":"[0-9.]+","sent_at":"[-0-9]+T[0-9:.]+Z"`).ReplaceAllString(got.body, `"ts":"TS","sent_at":"TIME"`)
		last := r.events("/api/builds/acme/web/42/events")
		body = strings.Replace(body, fmt.Sprintf(`"last_seq":%d,`, *last[len(last)-1].Seq), `"last_seq":"LAST",`, 1)
		const want = `{"id":"web-42","organization":"acme","pipeline":"web","number":42,` +
			`"web_url":"https://buildkite.com/acme/web/builds/42","branch":"main","commit":"abc",` +
			`"message":"Fix \u003cit\u003e \u0026 more\n\nAt length","author":{"name":"Ann","email":"ann@example.com"},` +
			`"state":"failed","status":"failed","consecutive_failures":2,"first_failed_number":41,"last_passed_number":null,` +
			`"created_at":"2024-05-01T10:42:00.123Z","started_at":"2024-05-01T10:42:01Z","finished_at":"2024-05-01T10:42:40.5Z","last_seq":"LAST",` +
			`"steps":[` +
			`{"name":"lint","status":"fixed","jobs":[` +
			`{"id":"web-42lintfailed","state":"failed","exit_status":1,"soft_failed":false,"web_url":"https://buildkite.com/job/lint","finished_at":"2024-05-01T10:42:10.5Z"},` +
			`{"id":"web-42lintpassed","state":"passed","exit_status":0,"soft_failed":false,"web_url":"https://buildkite.com/job/lint","finished_at":"2024-05-01T10:42:20.5Z"}]},` +
			`{"name":"test","status":"failed","jobs":[` +
			`{"id":"web-42testtimed_out","state":"timed_out","exit_status":null,"soft_failed":false,"web_url":"https://buildkite.com/job/test","finished_at":"2024-05-01T10:42:30.5Z"}]},` +
			`{"name":"audit","status":"passed","jobs":[` +
			`{"id":"web-42auditfailed","state":"failed","exit_status":2,"soft_failed":true,"web_url":"https://buildkite.com/job/audit","finished_at":"2024-05-01T10:42:05.5Z"}]}],` +
			`"notices":[{"kind":"failed","channel":"C0BUILDS01","ts":"TS","sent_at":"TIME"}]}` + "\n"
		if diff := cmp.Diff(sorted(t, want), sorted(t, body)); diff != "" {
			t.Errorf("the build (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(keys(t, json.RawMessage(want)), keys(t, json.RawMessage(body))); diff != "" {
			t.Errorf("its fields (-want +got):\n%s", diff)
		}

		for _, path := range []string{"/-/debug/42", "/-/debug/42?pipeline=acme/web"} {
			var debug json.RawMessage
			r.read(path, &debug)
			if diff := cmp.Diff(sorted(t, got.body), sorted(t, string(debug))); diff != "" {
				t.Errorf("%s shows another build:\n%s", path, diff)
			}
		}
		var list struct {
			Builds []json.RawMessage
		}
		r.read("/api/builds", &list)
		if len(list.Builds) != 2 || sorted(t, string(list.Builds[0])) != sorted(t, got.body) {
			t.Errorf("the list shows it otherwise: %s", list.Builds)
		}
	})
}

// sorted is JSON with members sorted, steps too: their order is nobody's promise.
func sorted(t testing.TB, text string) string {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	steps := map[string]any{}
	for _, s := range v["steps"].([]any) {
		steps[fmt.Sprint(s.(map[string]any)["name"])] = s
	}
	v["steps"] = steps
	out, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// page is an answer of /api/builds.
type page struct {
	Builds []struct {
		Organization, Pipeline, Branch, State string
		Number                                int64
	}
	NextCursor *string `json:"next_cursor"`
}

func (p page) numbers() (numbers []int64) {
	for _, b := range p.Builds {
		numbers = append(numbers, b.Number)
	}
	return numbers
}

func TestBuildsAreListedPageByPage(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		r := startServer(t, s)
		day := time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC)
		created := func(number int) traffic.Delivery {
			b := tell("web", number)
			// Three at a time are of one moment.
			b.fields["created_at"] = day.Add(time.Duration(number/3) * time.Microsecond).Format(time.RFC3339Nano)
			if number > 22 {
				delete(b.fields, "created_at") // listed last
			}
			return b.event("build.running", nil)
		}
		var deliveries []traffic.Delivery
		for n := 1; n <= 25; n++ {
			deliveries = append(deliveries, created(n))
		}
		r.recordAll(deliveries)
		r.settle()
		var all page
		r.read("/api/builds", &all)
		if len(all.Builds) != 25 || all.NextCursor != nil {
			t.Fatalf("%d builds, next_cursor %v; want all 25 and null", len(all.Builds), all.NextCursor)
		}
		var got []int64
		cursor := ""
		for i := 0; ; i++ {
			var p page
			r.read("/api/builds?limit=4&cursor="+url.QueryEscape(cursor), &p)
			got = append(got, p.numbers()...)
			if p.NextCursor == nil {
				break
			}
			if len(p.Builds) != 4 || i > 10 {
				t.Fatalf("page %d has %d builds", i, len(p.Builds))
			}
			cursor = *p.NextCursor
			// What comes in meanwhile is newer.
			late := tell("web", 100+i)
			late.fields["created_at"] = "2024-06-01T00:00:00Z"
			r.record(late.event("build.running", nil))
			r.settle()
		}
		if diff := cmp.Diff(all.numbers(), got); diff != "" {
			t.Errorf("page by page (-want +got):\n%s", diff)
		}
		var exact page
		r.read("/api/builds?pipeline=acme/web&limit=32", &exact)
		if len(exact.Builds) < 31 && exact.NextCursor != nil {
			t.Error("the last page has a next one")
		}
	})
}

func TestBuildsAreSelected(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		r := startServer(t, s)
		for i, b := range []struct{ pipeline, branch, state string }{
			{"web", "main", "failed"}, {"web", "a/b", "passed"}, {"api", "main", "failed"}, {"api", "wéb 😀", "running"},
		} {
			story := tell(b.pipeline, i+1)
			story.fields["branch"] = b.branch
			if b.state == "running" {
				r.record(story.event("build.running", nil))
			} else {
				r.record(story.finished(b.state, 1))
			}
		}
		r.settle()
		for query, want := range map[string]int{
			"":                                    4,
			"pipeline=acme/web":                   2,
			"pipeline=other/web":                  0,
			"pipeline=acme/we":                    0,
			"branch=main":                         2,
			"branch=a%2Fb":                        1,
			"branch=" + url.QueryEscape("wéb 😀"):  1,
			"branch=%00":                          0,
			"branch=%ff":                          0,
			"branch=" + strings.Repeat("x", 4000): 0,
			"state=failed":                        2,
			"state=Failed":                        0,
			"state=running&pipeline=acme/api":     1,
			"pipeline=acme/web&branch=main&state=failed": 1,
			"limit=2":      2,
			"limit=100000": 4,
		} {
			var p page
			r.read("/api/builds?"+query, &p)
			if len(p.Builds) != want {
				t.Errorf("%q selects %d builds, want %d", query, len(p.Builds), want)
			}
			if got := r.get("/api/builds?" + query).body; !strings.HasPrefix(got, `{"builds":[`) {
				t.Errorf("%q answers %.40s", query, got)
			}
		}
	})
}

func TestWrongParametersAreRefused(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		r := startServer(t, s)
		r.record(tell("web", 1).event("build.running", nil))
		r.settle()
		for _, path := range []string{
			"/api/builds?limit=0", "/api/builds?limit=-1", "/api/builds?limit=ten", "/api/builds?limit=1.5",
			"/api/builds?limit=99999999999999999999",
			"/api/builds?cursor=x", "/api/builds?cursor=!!!", "/api/builds?cursor=" + cursorText("9223372036854775807 a"),
			"/api/builds?cursor=" + cursorText("-9223372036854775808 a"), "/api/builds?cursor=" + cursorText("1"),
			"/api/builds?cursor=" + cursorText("x a"),
			"/api/builds?pipeline=acme/", "/api/builds?pipeline=/web", "/api/builds?pipeline=/", "/api/builds?pipeline=a/b/c",
			"/api/events?after=-1", "/api/events?after=x", "/api/events?after=9223372036854775808",
			"/api/events?limit=0", "/api/events?limit=x", "/api/events?pipeline=web", "/api/events?pipeline=acme/", "/api/events?pipeline=/web",
			"/api/builds/acme/web/0", "/api/builds/acme/web/-1", "/api/builds/acme/web/x", "/api/builds/acme/web/99999999999999999999",
			"/api/builds/acme/web/1/events?from=-1", "/api/builds/acme/web/1/events?from=x",
			"/-/debug/x", "/-/debug/0", "/-/debug/1?pipeline=acme/",
		} {
			t.Run(path, func(t *testing.T) { isProblem(t, r.get(path), http.StatusBadRequest) })
		}
		for _, path := range []string{
			"/api/builds/acme/web/2", "/api/builds/acme/we%00b/1", "/api/builds/acme/%ff/1", "/api/builds/other/web/1",
			"/api/builds/acme/web/2/events", "/-/debug/2", "/-/debug/1?pipeline=acme/api",
			"/api/builds/acme/" + strings.Repeat("x", 3000) + "/1",
		} {
			t.Run(path, func(t *testing.T) { isProblem(t, r.get(path), http.StatusNotFound) })
		}
	})
}

func cursorText(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func TestNumberAloneMayMeanSeveralBuilds(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		r := startServer(t, s)
		r.record(tell("web", 7).event("build.running", nil), tell("api", 7).event("build.running", nil), tell("api", 8).event("build.running", nil))
		newer := tell("api", 8) // two builds at one address are no two pipelines
		newer.fields["id"], newer.fields["created_at"] = "api-8-again", time.Now().UTC().Format(time.RFC3339)
		r.record(newer.event("build.running", nil))
		r.settle()
		got := r.get("/-/debug/7")
		isProblem(t, got, http.StatusConflict)
		var p struct{ Candidates []string }
		if err := json.Unmarshal([]byte(got.body), &p); err != nil {
			t.Fatal(err)
		}
		if len(p.Candidates) != 2 || !strings.Contains(got.body, `"acme/web"`) || !strings.Contains(got.body, `"acme/api"`) {
			t.Errorf("the candidates are %v", p.Candidates)
		}
		var b struct{ ID string }
		for path, want := range map[string]string{
			"/-/debug/7?pipeline=acme/web": "web-7", "/-/debug/7?pipeline=acme/api": "api-7",
			"/-/debug/8": "api-8-again", "/api/builds/acme/api/8": "api-8-again",
		} {
			if r.read(path, &b); b.ID != want {
				t.Errorf("%s is %s, want %s", path, b.ID, want)
			}
		}
	})
}

// A build is followed from its first delivery on, whether or not anything folds.
func TestEventsAreThereBeforeTheyAreFolded(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		r := startServer(t, s, func(c *config.Config) { c.RedisURL = "redis://127.0.0.1:1" })
		b := tell("web", 1)
		r.record(b.job("lint", "passed"))
		var events []struct{ Seq int64 }
		r.read("/api/builds/acme/web/1/events", &events)
		if len(events) != 2 { // the job's own comes with it
			t.Errorf("%d events", len(events))
		}
		if e, _ := r.watch("/api/builds/acme/web/1/events", "").next(); e.ID != "0" {
			t.Errorf("followed, it begins with %+v", e)
		}
		if got := r.get("/api/builds/acme/web/1"); got.status != http.StatusNotFound || !strings.Contains(got.body, "not known yet") {
			t.Errorf("the build: %d %s", got.status, got.body)
		}
		if got := r.get("/api/builds/acme/web/2/events"); got.status != http.StatusNotFound || !strings.Contains(got.body, "No such build") {
			t.Errorf("another build: %d %s", got.status, got.body)
		}
	})
}
