package buildtracker

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/build-tracker/build-tracker/config"
)

// basic is the header of somebody who signs in.
func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// production is a server in production, with or without API tokens.
func production(tokens ...config.Secret) func(*config.Config) {
	return func(c *config.Config) {
		c.Production, c.DebugPassword, c.WebhookTokens, c.APITokens = true, "open-sesame", config.Secrets{"webhook-token"}, tokens
	}
}

// recordOne posts build acme/web 1 as Buildkite would to a server in production.
func recordOne(r *running) {
	r.t.Helper()
	d := tell("web", 1).event("build.running", nil)
	got := r.do(request{header: map[string]string{"X-Buildkite-Event": d.Event, "X-Buildkite-Token": "webhook-token"}, body: d.Body})
	if got.status != http.StatusOK {
		r.t.Fatalf("the delivery is answered %d: %s", got.status, got.body)
	}
	r.settle()
}

func TestWhoMayRead(t *testing.T) {
	t.Parallel()
	callers := map[string]map[string]string{
		"nobody":                     nil,
		"a token":                    {"Authorization": "Bearer t1"},
		"another token":              {"Authorization": "bearer  t2"},
		"a wrong token":              {"Authorization": "Bearer t3"},
		"the list of tokens":         {"Authorization": "Bearer t1,t2"},
		"an empty token":             {"Authorization": "Bearer "},
		"a token as a password":      {"Authorization": basic("devx", "t1")},
		"devx":                       {"Authorization": basic("devx", "open-sesame")},
		"devx, wrong password":       {"Authorization": basic("devx", "open")},
		"devx, no password":          {"Authorization": basic("devx", "")},
		"root, the password":         {"Authorization": basic("root", "open-sesame")},
		"the password as a token":    {"Authorization": "Bearer open-sesame"},
		"the webhook's token":        {"Authorization": "Bearer webhook-token", "X-Buildkite-Token": "webhook-token"},
		"nobody, through a proxy":    {"X-Forwarded-For": "127.0.0.1"},
		"a token, through a proxy":   {"X-Forwarded-For": "1.2.3.4", "Authorization": "Bearer t1"},
		"devx, through a proxy":      {"Via": "1.1 x", "Authorization": basic("devx", "open-sesame")},
		"nobody, forwarded (RFC)":    {"Forwarded": "for=127.0.0.1"},
		"nobody, an empty Forwarded": {"Via": " "},
	}
	reads := []string{"/api/builds", "/api/builds/acme/web/1", "/api/builds/acme/web/1/events", "/api/events"}
	const debug, metrics = "/-/debug/1", "/metrics"
	tests := map[string]struct {
		change func(*config.Config)
		// Who may read what; whoever is not named may not.
		reads, debug, metrics []string
	}{
		"production with tokens": {
			production("t1", "t2"),
			[]string{"a token", "another token", "devx", "a token, through a proxy", "devx, through a proxy"},
			[]string{"devx", "devx, through a proxy"},
			[]string{"a token", "another token", "devx", "a token, through a proxy", "devx, through a proxy"},
		},
		"production without tokens": {
			production(),
			[]string{"devx", "devx, through a proxy"},
			[]string{"devx", "devx, through a proxy"},
			[]string{"devx", "devx, through a proxy"},
		},
		"tokens": {
			func(c *config.Config) {
				c.APITokens, c.WebhookTokens = config.Secrets{"t1", "t2"}, config.Secrets{"webhook-token"}
			},
			[]string{"a token", "another token", "a token, through a proxy"},
			[]string{"a token", "another token", "a token, through a proxy"},
			[]string{"*"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startServer(t, embeddedStores(t), test.change)
			recordOne(r)
			for caller, header := range callers {
				check := func(path string, allowed []string) {
					got := r.do(request{method: http.MethodGet, path: path, header: header})
					if slices.Contains(allowed, caller) || slices.Contains(allowed, "*") {
						if got.status != http.StatusOK {
							t.Errorf("%s may not read %s: %d %s", caller, path, got.status, got.body)
						}
						return
					}
					isProblem(t, got, http.StatusUnauthorized)
					if got.status == http.StatusOK {
						t.Errorf("%s reads %s", caller, path)
					}
					if got.header.Get("WWW-Authenticate") == "" {
						t.Errorf("%s is not told how to sign in at %s", caller, path)
					}
				}
				for _, path := range reads {
					check(path, test.reads)
				}
				check(debug, test.debug)
				check(metrics, test.metrics)
			}
			for _, secret := range []string{"t1\"", "open-sesame", "webhook-token", "Bearer", "Basic "} {
				if strings.Contains(r.log.String(), secret) {
					t.Errorf("the log has %s", secret)
				}
			}
		})
	}
}

func TestWithoutTokensThisMachineReads(t *testing.T) {
	t.Parallel()
	r := startServer(t, embeddedStores(t))
	r.record(tell("web", 1).event("build.running", nil))
	r.settle()
	for _, path := range []string{"/api/builds", "/api/builds/acme/web/1", "/api/builds/acme/web/1/events", "/api/events", "/-/debug/1"} {
		for name, test := range map[string]struct {
			header, value, host, remote string
			status                      int
		}{
			"here":                    {status: 200},
			"here, by name":           {host: "localhost:8080", status: 200},
			"here, in capitals":       {host: "LOCALHOST:8080", status: 200},
			"here, by IPv6":           {host: "[::1]:8080", remote: "[::1]:9", status: 200},
			"elsewhere":               {remote: "192.0.2.1:9", status: 401},
			"elsewhere, by our name":  {remote: "[2001:db8::1]:9", host: "localhost", status: 401},
			"a proxy here":            {header: "X-Forwarded-For", value: "127.0.0.1", status: 401},
			"a proxy here, Forwarded": {header: "Forwarded", value: "for=127.0.0.1", status: 401},
			"a proxy here, Via":       {header: "Via", value: "1.1 x", status: 401},
			"a page of another site whose name leads here": {host: "evil.example", status: 401},
		} {
			q := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8080"+path, nil)
			q.RemoteAddr = "127.0.0.1:9"
			if test.remote != "" {
				q.RemoteAddr = test.remote
			}
			if test.host != "" {
				q.Host = test.host
			}
			if test.header != "" {
				q.Header.Set(test.header, test.value)
			}
			w := httptest.NewRecorder()
			r.server.public.ServeHTTP(w, q)
			if w.Code != test.status {
				t.Errorf("%s, %s: %d, want %d", path, name, w.Code, test.status)
			}
		}
	}
}

func TestPageOfAnotherSiteStartsNoRebuild(t *testing.T) {
	t.Parallel()
	r := startServer(t, embeddedStores(t))
	got := r.do(request{path: "/-/rebuild", header: map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}})
	isProblem(t, got, http.StatusForbidden)
}

func TestRebuildIsNotForEverybody(t *testing.T) {
	t.Parallel()
	r := startServer(t, embeddedStores(t), production("t1"))
	for name, header := range map[string]string{"nobody": "", "a wrong token": "Bearer x"} {
		t.Run(name, func(t *testing.T) {
			isProblem(t, r.do(request{path: "/-/rebuild", header: map[string]string{"Authorization": header}}), 401)
		})
	}
	if got := r.do(request{path: "/-/rebuild", header: map[string]string{"Authorization": "Bearer t1"}}); got.status != http.StatusOK {
		t.Errorf("a token gets %d: %s", got.status, got.body)
	}
}

func TestHealthIsForEverybodyAndItsDetailsAreNot(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change     func(*config.Config)
		header     string
		hasDetails bool
	}{
		"production":              {production("t1"), "", false},
		"production, wrong token": {production("t1"), "Bearer x", false},
		"production, a token":     {production("t1"), "Bearer t1", true},
		"production, devx":        {production(), basic("devx", "open-sesame"), true},
		"elsewhere":               {func(*config.Config) {}, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startServer(t, embeddedStores(t), test.change)
			header := map[string]string{"Authorization": test.header}
			for _, path := range []string{"/-/healthz", "/-/readyz"} {
				got := r.do(request{method: http.MethodGet, path: path, header: header})
				if got.status != http.StatusOK || got.header.Get("Content-Type") != "application/json" {
					t.Errorf("%s answers %d %s", path, got.status, got.body)
				}
			}
			got := r.do(request{method: http.MethodGet, path: "/-/readyz", header: header})
			if has := strings.Contains(got.body, `"database":"ok"`) && strings.Contains(got.body, `"redis":"ok"`); has != test.hasDetails {
				t.Errorf("the details are there: %v, want %v: %s", has, test.hasDetails, got.body)
			}
			if !test.hasDetails && strings.TrimSpace(got.body) != `{"status":"ready"}` {
				t.Errorf("without details the answer is %s", got.body)
			}
		})
	}
}

func TestServerThatStopsIsNotReady(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*config.Config){"elsewhere": func(*config.Config) {}, "production": production()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startServer(t, embeddedStores(t), change)
			r.server.health.drain()
			got := r.get("/-/readyz")
			isProblem(t, got, http.StatusServiceUnavailable)
			if got.header.Get("Retry-After") == "" {
				t.Error("the answer does not say when to try again")
			}
			if strings.Contains(got.body, "draining") != (name == "elsewhere") {
				t.Errorf("the details: %s", got.body)
			}
			if alive := r.get("/-/healthz"); alive.status != http.StatusOK {
				t.Errorf("the process is up, but answers %d", alive.status)
			}
		})
	}
}

func TestServerWithoutRedisTakesDeliveries(t *testing.T) {
	t.Parallel()
	s := embeddedStores(t)
	s.redis = "redis://127.0.0.1:1"
	r := startServer(t, s)
	r.record(tell("web", 1).event("build.running", nil))
	var ready struct {
		Status  string
		Details map[string]string
	}
	r.read("/-/readyz", &ready)
	if ready.Status != "ready" || ready.Details["database"] != "ok" || ready.Details["redis"] != "does not answer" {
		t.Errorf("the readiness is %+v", ready)
	}
}

func TestOperatorsRoutesMoveToTheirListener(t *testing.T) {
	t.Parallel()
	r := startServer(t, embeddedStores(t), func(c *config.Config) { c.AdminAddr = "127.0.0.1:0" })
	d := tell("web", 1).event("build.running", nil)
	r.record(d)
	r.settle()
	admin := "http://" + r.server.admin.Addr().String()
	for _, path := range []string{"/metrics", "/-/healthz", "/-/readyz", "/-/debug/1"} {
		q := request{method: http.MethodGet, path: path}
		if got := r.at(admin, q); got.status != http.StatusOK {
			t.Errorf("%s answers %d there: %s", path, got.status, got.body)
		}
		isProblem(t, r.do(q), http.StatusNotFound)
	}
	isProblem(t, r.do(request{path: "/-/rebuild"}), http.StatusNotFound)
	if got := r.at(admin, request{path: "/-/rebuild"}); got.status != http.StatusOK {
		t.Errorf("rebuild answers %d there", got.status)
	}
	for _, path := range []string{"/api/builds", "/api/events"} {
		q := request{method: http.MethodGet, path: path}
		isProblem(t, r.at(admin, q), http.StatusNotFound)
		if got := r.do(q); got.status != http.StatusOK {
			t.Errorf("%s answers %d", path, got.status)
		}
	}
	isProblem(t, r.at(admin, request{header: map[string]string{"X-Buildkite-Event": d.Event}, body: d.Body}), http.StatusNotFound)
}

func TestLogSaysWhereTheServerListens(t *testing.T) {
	t.Parallel()
	r := startServer(t, embeddedStores(t))
	r.get("/-/healthz") // it has begun to serve
	await(t, "the log line", func() (bool, error) {
		for line := range bytes.Lines([]byte(r.log.String())) {
			var entry map[string]any
			if err := json.Unmarshal(line, &entry); err != nil {
				return false, err
			}
			if entry["msg"] == "listening" && "http://"+entry["addr"].(string) == r.url {
				return true, nil
			}
		}
		return false, nil
	})
}
