package buildtracker

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/build-tracker/build-tracker/config"
	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
	"github.com/build-tracker/build-tracker/stream"
)

// sign is Buildkite's signature of a body.
func sign(token string, at time.Time, body []byte) string {
	mac := hmac.New(sha256.New, []byte(token))
	fmt.Fprintf(mac, "%d.%s", at.Unix(), body)
	return fmt.Sprintf("timestamp=%d,signature=%s", at.Unix(), hex.EncodeToString(mac.Sum(nil)))
}

// deliveries returns how many deliveries ended so.
func (r *running) deliveries(result string) int {
	r.t.Helper()
	metrics := r.get("/metrics").body
	name := `buildtracker_deliveries_total{result="` + result + `"} `
	_, rest, found := strings.Cut(metrics, name)
	if !found {
		return 0
	}
	var n int
	if _, err := fmt.Sscan(rest, &n); err != nil {
		r.t.Fatal(err)
	}
	return n
}

// stream returns every event that was delivered.
func (r *running) stream() []envelope {
	r.t.Helper()
	var events []envelope
	r.read("/api/events?limit=10000", &events)
	return delivered(events)
}

// events returns what a path answers.
func (r *running) events(path string) (events []envelope) {
	r.t.Helper()
	r.read(path, &events)
	return events
}

// delivered returns those that are not ours.
func delivered(events []envelope) (theirs []envelope) {
	for _, e := range events {
		if !stream.Ours(e.Type) {
			theirs = append(theirs, e)
		}
	}
	return theirs
}

// envelope is an event as readers get it.
type envelope struct {
	ID           string
	Position     int64
	Organization string
	Pipeline     *string
	Number, Seq  *int64
	Type         string
	Version      int
	Time         time.Time
	Data         json.RawMessage
}

func TestDeliveryMustBeAuthentic(t *testing.T) {
	t.Parallel()
	const oldToken, newToken = "old-token", "new-token"
	r := startServer(t, embeddedStores(t), func(c *config.Config) {
		c.WebhookTokens = config.Secrets{oldToken, newToken}
	})
	d := tell("web", 1).event("build.running", nil)
	now := time.Now()
	good := sign(newToken, now, d.Body)
	tests := map[string]struct {
		header map[string]string
		status int
	}{
		"a token":                         {map[string]string{"X-Buildkite-Token": newToken}, 200},
		"the other token":                 {map[string]string{"X-Buildkite-Token": oldToken}, 200},
		"a wrong token":                   {map[string]string{"X-Buildkite-Token": newToken + "x"}, 401},
		"the list of tokens":              {map[string]string{"X-Buildkite-Token": oldToken + "," + newToken}, 401},
		"no token":                        {nil, 401},
		"a signature":                     {map[string]string{"X-Buildkite-Signature": good}, 200},
		"a signature with the other":      {map[string]string{"X-Buildkite-Signature": sign(oldToken, now, d.Body)}, 200},
		"a signature with another token":  {map[string]string{"X-Buildkite-Signature": sign("x", now, d.Body)}, 401},
		"a signature of another body":     {map[string]string{"X-Buildkite-Signature": sign(newToken, now, []byte("{}"))}, 401},
		"a signature with another time":   {map[string]string{"X-Buildkite-Signature": strings.Replace(good, "timestamp=", "timestamp=1", 1)}, 401},
		"a signature from 4 minutes ago":  {map[string]string{"X-Buildkite-Signature": sign(newToken, now.Add(-4*time.Minute), d.Body)}, 200},
		"a stale signature":               {map[string]string{"X-Buildkite-Signature": sign(newToken, now.Add(-6*time.Minute), d.Body)}, 401},
		"a signature of the future":       {map[string]string{"X-Buildkite-Signature": sign(newToken, now.Add(6*time.Minute), d.Body)}, 401},
		"a malformed signature":           {map[string]string{"X-Buildkite-Signature": "signature"}, 401},
		"an empty signature":              {map[string]string{"X-Buildkite-Signature": "timestamp=,signature="}, 401},
		"a wrong token, a good signature": {map[string]string{"X-Buildkite-Token": "x", "X-Buildkite-Signature": good}, 200},
		"a token as a bearer's":           {map[string]string{"Authorization": "Bearer " + newToken}, 401},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			header := maps.Clone(test.header)
			if header == nil {
				header = make(map[string]string)
			}
			header["X-Buildkite-Event"] = d.Event
			got := r.do(request{header: header, body: d.Body})
			if test.status == http.StatusOK {
				if got.status != test.status {
					t.Errorf("answers %d: %s", got.status, got.body)
				}
				return
			}
			isProblem(t, got, test.status)
			if got.header.Get("WWW-Authenticate") == "" {
				t.Error("the answer does not say how to be authentic")
			}
		})
	}
	if n := len(r.stream()); n != 1 {
		t.Errorf("%d events, want the one", n)
	}
	for _, secret := range []string{oldToken, newToken} {
		if strings.Contains(r.log.String(), secret) {
			t.Errorf("the log has %s", secret)
		}
	}
}

func TestWithoutTokenDeliveriesComeFromThisMachine(t *testing.T) {
	t.Parallel()
	r := startServer(t, embeddedStores(t))
	d := tell("web", 1).event("build.running", nil)
	for name, test := range map[string]struct {
		header, value, host string
		status              int
	}{
		"directly":                  {status: 200},
		"by name":                   {host: "localhost:8080", status: 200},
		"forwarded":                 {header: "Forwarded", value: "for=1.2.3.4", status: 401},
		"forwarded for":             {header: "X-Forwarded-For", value: "127.0.0.1", status: 401},
		"via a proxy":               {header: "Via", value: "1.1 proxy", status: 401},
		"under a foreign host name": {host: "rebound.example:8080", status: 401},
	} {
		t.Run(name, func(t *testing.T) {
			got := r.do(request{host: test.host, body: d.Body, header: map[string]string{"X-Buildkite-Event": d.Event, test.header: test.value}})
			if test.status == http.StatusOK && got.status == http.StatusOK {
				return
			}
			isProblem(t, got, test.status)
		})
	}
	t.Run("from another machine", func(t *testing.T) {
		q := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/buildkite", bytes.NewReader(d.Body))
		q.RemoteAddr = "192.0.2.1:1234"
		q.Header.Set("X-Buildkite-Event", d.Event)
		w := httptest.NewRecorder()
		r.server.public.ServeHTTP(w, q)
		isProblem(t, answer{w.Code, w.Header(), w.Body.String()}, 401)
	})
}

func TestUselessDeliveryIsRefused(t *testing.T) {
	t.Parallel()
	r := startServer(t, embeddedStores(t))
	whole := string(tell("web", 1).event("build.finished", nil).Body)
	job := string(tell("web", 1).job("test", "passed").Body)
	without := func(body, field string) string {
		cut := strings.Replace(body, field, "", 1)
		if cut == body {
			t.Fatalf("%s is not in %s", field, body)
		}
		return cut
	}
	tests := map[string]struct{ event, body string }{
		"no event header":             {"", whole},
		"another event header":        {"build.running", whole},
		"an event header, other case": {"Build.Finished", whole},
		"no body":                     {"build.finished", ""},
		"no JSON":                     {"build.finished", "payload=x"},
		"half of it":                  {"build.finished", whole[:len(whole)/2]},
		"more after it":               {"build.finished", whole + "{}"},
		"an array":                    {"build.finished", "[" + whole + "]"},
		"a string":                    {"build.finished", `"build.finished"`},
		"null":                        {"build.finished", "null"},
		"no event":                    {"build.finished", without(whole, `"event":"build.finished",`)},
		"an event that is no text":    {"build.finished", strings.Replace(whole, `"event":"build.finished"`, `"event":1`, 1)},
		"no build":                    {"build.finished", `{"event":"build.finished","pipeline":{"slug":"web"},"organization":{"slug":"acme"}}`},
		"a build that is no object":   {"build.finished", `{"event":"build.finished","build":[],"pipeline":{"slug":"web"},"organization":{"slug":"acme"}}`},
		"no build id":                 {"build.finished", without(whole, `"id":"web-1",`)},
		"no build number":             {"build.finished", without(whole, `"number":1,`)},
		"a number of 0":               {"build.finished", strings.Replace(whole, `"number":1`, `"number":0`, 1)},
		"no pipeline":                 {"build.finished", without(whole, `"slug":"web"`)[:0] + strings.Replace(whole, `"pipeline":`, `"line":`, 1)},
		"no job":                      {"job.finished", strings.Replace(job, `"job":`, `"work":`, 1)},
		"no job id":                   {"job.finished", strings.Replace(job, `"id":"web-1testpassed"`, `"uid":"x"`, 1)},
		"no agent":                    {"agent.connected", `{"event":"agent.connected"}`},
		"an agent without an id":      {"agent.connected", `{"event":"agent.connected","agent":{}}`},
		"a raw control character":     {"build.finished", strings.Replace(whole, "A change", "A \x01 change", 1)},
		"NUL in a slug":               {"build.finished", strings.Replace(whole, `"slug":"web"`, `"slug":"we\u0000b"`, 1)},
		"a lone surrogate in an id":   {"build.finished", strings.Replace(whole, `"id":"web-1"`, `"id":"web\ud800"`, 1)},
		"nested too deeply":           {"build.finished", `{"event":"build.finished","x":` + strings.Repeat("[", 1<<20) + strings.Repeat("]", 1<<20) + `}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			isProblem(t, r.do(request{header: map[string]string{"X-Buildkite-Event": test.event}, body: []byte(test.body)}), 400)
		})
	}
	if got := r.deliveries("invalid"); got != len(tests) {
		t.Errorf("%d refused deliveries are counted, want %d", got, len(tests))
	}
	if events := r.stream(); len(events) != 0 {
		t.Errorf("something is recorded: %v", events)
	}
}

func TestDeliveryIsRecordedOnce(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		r := startServer(t, s)
		raw := func(event, body string) traffic.Delivery {
			return traffic.Delivery{Event: event, Body: []byte(strings.ReplaceAll(body, "EVENT", event))}
		}
		const ofBuild = `{"event":"EVENT","build":{"id":"b1","number":7,"state":"running"},` +
			`"pipeline":{"slug":"web","running_builds_count":1},"organization":{"slug":"acme"},"sender":{"id":"u1"}}`
		again := strings.NewReplacer(`"u1"`, `"u2"`, `"running_builds_count":1`, `"running_builds_count":2`).Replace(ofBuild)
		steps := []struct {
			name string
			traffic.Delivery
			want string
		}{
			{"a ping", raw("ping", `{"event":"ping","service":{"id":"s"},"organization":{"slug":"acme"},"sender":{}}`), "ignored"},
			{"an event of the organization", raw("organization.updated", `{"event":"EVENT","organization":{"slug":"acme"}}`), "ignored"},
			{"an event of neither a build nor an agent", raw("cluster_token.registration_blocked", `{"event":"EVENT","x":1}`), "ignored"},
			{"a build", raw("build.running", ofBuild), "recorded"},
			{"the same", raw("build.running", ofBuild), "duplicate"},
			{"the same with another sender and other counters", raw("build.running", again), "duplicate"},
			{"the same, spaced", raw("build.running", strings.ReplaceAll(ofBuild, ",", " ,\n ")), "duplicate"},
			{"another event with the same content", raw("build.finished", ofBuild), "recorded"},
			{"the same event with other content", raw("build.running", strings.Replace(ofBuild, `"running"`, `"failing"`, 1)), "recorded"},
			{"an unknown event of a build", raw("build.pondered", ofBuild), "recorded"},
			{"an unknown event of a job", raw("job.pondered", strings.Replace(ofBuild, `"build":`, `"job":{"id":"j1"},"build":`, 1)), "recorded"},
			{"an agent", raw("agent.connected", `{"event":"EVENT","agent":{"id":"a1","url":"https://api.buildkite.com/v2/organizations/acme/agents/a1"}}`), "recorded"},
			{"an unknown event of an agent", raw("agent.pondered", `{"event":"EVENT","agent":{"id":"a1"}}`), "recorded"},
		}
		for _, step := range steps {
			if got := r.post(step.Delivery); got != step.want {
				t.Errorf("%s is %s, want %s", step.name, got, step.want)
			}
		}
		var got []string
		for _, e := range r.stream() {
			where := "nowhere"
			if e.Pipeline != nil && e.Number != nil && e.Seq != nil {
				where = fmt.Sprintf("%s/%s/%d", e.Organization, *e.Pipeline, *e.Number)
			} else if e.Pipeline != nil || e.Number != nil || e.Seq != nil {
				t.Errorf("%s has half an address", e.Type)
			}
			got = append(got, e.Type+" "+where)
		}
		want := []string{
			"build.running acme/web/7", "build.finished acme/web/7", "build.running acme/web/7",
			"build.pondered acme/web/7", "job.pondered acme/web/7", "agent.connected nowhere", "agent.pondered nowhere",
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("the stream is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		for result, n := range map[string]int{"recorded": 7, "duplicate": 3, "ignored": 3} {
			if got := r.deliveries(result); got != n {
				t.Errorf("%d deliveries are counted as %s, want %d", got, result, n)
			}
		}
	})
}

func TestUnknownRoutesAndMethodsAreProblems(t *testing.T) {
	t.Parallel()
	r := startServer(t, embeddedStores(t))
	for _, test := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/buildkite", 405, "POST"},
		{"PUT", "/buildkite", 405, "POST"},
		{"POST", "/api/builds", 405, "GET"},
		{"DELETE", "/api/builds/acme/web/1", 405, "GET"},
		{"GET", "/-/rebuild", 405, "POST"},
		{"POST", "/metrics", 405, "GET"},
		{"POST", "/buildkite/", 404, ""},
		{"GET", "/nothing", 404, ""},
		{"GET", "/api/builds/acme/web", 404, ""},
		{"GET", "/api/builds/acme/web/1", 404, ""},
		{"GET", "/api/builds/acme/web/1/events", 404, ""},
		{"GET", "/-/debug/1", 404, ""},
	} {
		t.Run(test.method+" "+test.path, func(t *testing.T) {
			got := r.do(request{method: test.method, path: test.path})
			isProblem(t, got, test.status)
			if allow := got.header.Get("Allow"); allow != test.allow && !strings.HasPrefix(allow, test.allow+",") {
				t.Errorf("Allow is %q, want %s", allow, test.allow)
			}
		})
	}
}
