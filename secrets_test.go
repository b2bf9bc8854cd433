package buildtracker

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/build-tracker/build-tracker/config"
	"github.com/build-tracker/build-tracker/internal/testenv"
	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
)

// planted is a payload full of secrets, each "s3cret" and a number of its own.
// What is not secret is "plain" and a number.
const planted = `{
	"event": "EVENT",
	"build": {
		"id": "ID", "number": 1, "state": "STATE", "branch": "main", "commit": "abc", "finished_at": "NOW",
		"web_url": "https://user:s3cret01@buildkite.com/acme/web/builds/1",
		"message": "Clone https://ann:s3cret02@github.com/acme/web.git (http:\/\/bob:s3cret03@example.com\/x) plain01",
		"author": {"name": "https://x:s3cret04@example.com", "email": "plain02@example.com"},
		"env": {
			"A": "s3cret05", "B": 51, "RELEASE_PUBLIC": "plain03", "RELEASE_INTERNAL": "plain04", "release_public": "s3cret06",
			"C": {"deep": ["s3cret07", {"RELEASE_PUBLIC": "s3cret08"}]}, "RELEASE\u005fPUBLIC": "plain05", "": "s3cret09"
		},
		"\u0065nv": {"A": "s3cret10"},
		"meta_data": {"x": [{"env": {"A": "s3cret11", "RELEASE_PUBLIC": "plain06"}}, {"env": ["A=s3cret12", "RELEASE_PUBLIC=plain07", "s3cret13"]}]},
		"jobs": [{"id": "j0", "type": "script", "name": "lint https://t:s3cret14@example.com", "state": "failed", "exit_status": 1,
			"env": "A=s3cret15\nB=s3cret16", "web_url": "https://buildkite.com/j0?token=s3cret17#x"}]
	},
	"job": {"id": "j1", "type": "script", "name": "test", "state": "failed", "exit_status": 1, "finished_at": "NOW",
		"env": {"env": {"env": "s3cret18"}}, "command": "curl -H x https://api.example.com/?access_token=s3cret19&plain08=1",
		"agent": {"id": "a", "meta_data": ["e=plain09"], "env": {"A": "s3cret20"}}},
	"pipeline": {
		"slug": "web", "name": "Web", "default_branch": "main", "repository": "https://deploy:s3cret21@github.com/acme/web.git",
		"env": {"A": "s3cret22"}, "configuration": "steps:\n  - command: s3cret23\n", "steps": [{"env": {"A": "s3cret24"}, "command": "plain10"}],
		"provider": {"id": "github", "webhook_url": "https://webhook.buildkite.com/deliver/s3cret25", "settings": {"repository": "plain11"}},
		"provid\u0065r": {"webhook\u005furl": "https://webhook.buildkite.com/deliver/s3cret26"},
		"c\u006fnfiguration": {"a": ["s3cret27"]}
	},
	"organization": {"slug": "acme"},
	"sender": {"name": "plain12", "avatar": "ssh://git:s3cret28@example.com/x"},
	"unknown": {"url": "https:\/\/a:s3cret29\u0040example.com/", "list": [["postgres://u:s3cret30@db/x", {"env": {"A": true, "B": ["s3cret31"]}}]]}
}`

func plant(event, id, state string) traffic.Delivery {
	text := strings.NewReplacer("EVENT", event, "ID", id, "STATE", state, "NOW", time.Now().UTC().Format(time.RFC3339)).Replace(planted)
	return traffic.Delivery{Event: event, Body: []byte(text)}
}

func TestSecretsStayOutOfEverything(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		slack := testenv.NewSlack(t, testenv.SlackOptions{Token: "xoxb-s3cret90"})
		slacking := startServer(t, s, func(c *config.Config) {
			c.WebhookTokens, c.APITokens = config.Secrets{"s3cret91", "s3cret92"}, config.Secrets{"s3cret93"}
			c.DebugPassword, c.SlackToken, c.SlackDebug = "s3cret94", config.Secret(slack.Token()), true
			c.SlackChannel, c.SlackAPIURL = "builds", slack.URL()
		})
		found := searchFor(t, slacking, s, map[string]string{"X-Buildkite-Token": "s3cret91", "Authorization": "Bearer s3cret93"})
		for _, m := range slack.Messages() {
			text, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			found("a message in Slack", string(text))
		}
		if len(slack.Messages()) == 0 {
			t.Error("nothing was said in Slack: the test does not look at messages")
		}
	})
}

func TestSecretsStayOutOfTheLogThatIsTheChannel(t *testing.T) {
	t.Parallel()
	s := embeddedStores(t)
	r := startServer(t, s)
	searchFor(t, r, s, map[string]string{})
	if !strings.Contains(r.log.String(), `"notice"`) {
		t.Error("nothing was said in the log: the test does not look at messages")
	}
}

// searchFor posts secrets in every way, and looks for them everywhere. It
// returns what looks at one more place.
func searchFor(t *testing.T, r *running, s stores, credentials map[string]string) func(where, text string) {
	t.Helper()
	post := func(d traffic.Delivery, header ...string) answer {
		h := map[string]string{"X-Buildkite-Event": d.Event, "X-Buildkite-Token": credentials["X-Buildkite-Token"]}
		for i := 0; i+1 < len(header); i += 2 {
			h[header[i]] = header[i+1]
		}
		return r.do(request{header: h, body: d.Body})
	}
	secret := regexp.MustCompile(`s3cret[0-9]*`)
	found := func(where, text string) {
		t.Helper()
		if at := secret.FindString(text); at != "" {
			t.Errorf("%s has %s", where, at)
		}
	}

	for _, d := range []traffic.Delivery{
		plant("build.running", "b1", "running"), plant("job.finished", "b1", "running"), plant("build.finished", "b1", "failed"),
		plant("build.pondered", "b1", "failed"),
		{Event: "agent.connected", Body: []byte(`{"event":"agent.connected","agent":{"id":"a","env":{"A":"s3cret40"},"meta_data":["q=https://x:s3cret41@y/"]}}`)},
	} {
		if got := post(d); got.status != http.StatusOK {
			t.Fatalf("%s answers %d: %s", d.Event, got.status, got.body)
		}
	}
	rejected := plant("build.finished", "b2", "failed")
	for name, got := range map[string]answer{
		"another event":        post(rejected, "X-Buildkite-Event", "build.running"),
		"half of it":           post(traffic.Delivery{Event: rejected.Event, Body: rejected.Body[:len(rejected.Body)/2]}),
		"no build":             post(traffic.Delivery{Event: rejected.Event, Body: []byte(strings.Replace(string(rejected.Body), `"build":`, `"s3cret50":`, 1))}),
		"an event of no name":  post(traffic.Delivery{Event: "s3cret51", Body: []byte(`{"event":"S3CRET s3cret51"}`)}),
		"an event header":      post(traffic.Delivery{Event: "s3cret52", Body: rejected.Body}),
		"a wrong token":        post(rejected, "X-Buildkite-Token", "s3cret53", "X-Forwarded-For", "s3cret54"),
		"a wrong signature":    post(rejected, "X-Buildkite-Token", "", "X-Buildkite-Signature", "timestamp=1,signature=s3cret55", "Via", "x"),
		"a query and a cookie": r.do(request{path: "/buildkite?token=s3cret56", header: map[string]string{"Cookie": "s3cret57"}, body: rejected.Body}),
	} {
		if got.status < 400 {
			t.Errorf("%s is taken: %s", name, got.body)
		}
		found("the refusal of "+name, got.body)
	}
	r.settle()

	var kept string
	for _, path := range []string{
		"/api/builds", "/api/builds/acme/web/1", "/api/builds/acme/web/1/events", "/api/events", "/-/debug/1", "/metrics", "/-/readyz",
	} {
		header := map[string]string{"Authorization": credentials["Authorization"]}
		got := r.do(request{method: http.MethodGet, path: path, header: header})
		if got.status != http.StatusOK {
			t.Errorf("GET %s answers %d: %s", path, got.status, got.body)
		}
		found(path, got.body)
		kept += got.body
	}
	for i := 1; i <= 12; i++ {
		if plain := fmt.Sprintf("plain%02d", i); !strings.Contains(kept, plain) {
			t.Errorf("%s is no secret, and is lost", plain)
		}
	}
	for table, rows := range s.dump(t) {
		found("table "+table, rows)
		if table == "builds" && !strings.Contains(rows, "plain01") || table == "events" && !strings.Contains(rows, "plain12") {
			t.Errorf("table %s was not read right", table)
		}
	}
	for key, value := range s.keys(t) {
		found("key "+key, key+value)
	}
	for name, text := range s.files(t) {
		found("file "+name, text)
	}
	found("the log", r.log.String())
	return found
}
