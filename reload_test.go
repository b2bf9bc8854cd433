package buildtracker

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/semaphore"

	"github.com/build-tracker/build-tracker/buildkite"
	"github.com/build-tracker/build-tracker/config"
	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
)

// configured is a server with a configuration file.
type configured struct {
	*running
	path  string
	level *slog.LevelVar
}

func startConfigured(t *testing.T, s stores, text string) *configured {
	t.Helper()
	c := &configured{path: filepath.Join(t.TempDir(), "tracker.yaml"), level: new(slog.LevelVar)}
	replace(t, c.path, text)
	var flags config.ServeFlags
	flags.ConfigFile, flags.ListenAddr, flags.DataDir = c.path, "127.0.0.1:0", s.dir
	flags.DatabaseURL, flags.RedisURL = config.Secret(s.database), config.Secret(s.redis)
	cfg, err := flags.Config()
	if err != nil {
		t.Fatal(err)
	}
	c.running = startServerWith(t, s, Options{Reload: flags.Config, LogLevel: c.level}, func(into *config.Config) { *into = *cfg })
	return c
}

// replace puts a file into the place of another at once, as editors do.
func replace(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// reload has the server read this text.
func (c *configured) reload(text string) error {
	c.t.Helper()
	replace(c.t.(*testing.T), c.path, text)
	return c.server.Reload()
}

// stored posts a delivery with secrets in its env and returns how that is
// stored.
func (c *configured) stored(number int) map[string]string {
	c.t.Helper()
	b := tell("web", number)
	b.fields["env"] = map[string]string{"RELEASE_PUBLIC": "1", "CHANNEL": "beta", "TOKEN": "s3cret"}
	c.record(b.event("build.running", nil))
	c.settle()
	var events []struct {
		Type string
		Data struct {
			Build struct{ Env map[string]string }
		}
	}
	c.read(fmt.Sprintf("/api/builds/acme/web/%d/events", number), &events)
	if len(events) == 0 || events[0].Type != "build.running" {
		c.t.Fatalf("%d events of build %d", len(events), number)
	}
	return events[0].Data.Build.Env
}

func TestNextDeliveryFollowsAReload(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		c := startConfigured(t, s, "env_keep: [CHANNEL]\n")
		masked := c.stored(1)["TOKEN"]
		check := func(number int, want map[string]string) {
			t.Helper()
			if diff := cmp.Diff(want, c.stored(number)); diff != "" {
				t.Errorf("env of build %d (-want +got):\n%s", number, diff)
			}
		}
		check(2, map[string]string{"RELEASE_PUBLIC": masked, "CHANNEL": "beta", "TOKEN": masked})
		if err := c.reload("env_keep: [RELEASE_PUBLIC]\n"); err != nil {
			t.Fatal(err)
		}
		check(3, map[string]string{"RELEASE_PUBLIC": "1", "CHANNEL": masked, "TOKEN": masked})
		if err := c.reload("env_keep: [RELEASE_PUBLIC\n"); err == nil {
			t.Error("a file that is wrong is no error")
		}
		check(4, map[string]string{"RELEASE_PUBLIC": "1", "CHANNEL": masked, "TOKEN": masked})
		if err := c.reload(""); err != nil {
			t.Fatal(err)
		}
		check(5, map[string]string{"RELEASE_PUBLIC": "1", "CHANNEL": masked, "TOKEN": masked})
	})
}

func TestWrongFileIsToldLoudlyAndChangesNothing(t *testing.T) {
	t.Parallel()
	c := startConfigured(t, embeddedStores(t), "log_level: warn\nteams: [{name: web, pipelines: [acme/*]}]\n")
	const ok, at = "buildtracker_config_last_reload_successful", "buildtracker_config_last_reload_success_timestamp_seconds"
	if c.gauge(ok) != 1 || time.Since(time.Unix(int64(c.gauge(at)), 0)) > time.Hour {
		t.Errorf("at the start: %s %v, %s %v", ok, c.gauge(ok), at, c.gauge(at))
	}
	before := c.server.reload.live.Load()
	err := c.reload("teams: [{name: web}]\nwings: 2\nslack_token: s3cret\nlog_level: debug\n\n")
	if err == nil || len(config.Problems(err)) != 2 {
		t.Fatalf("the problems are %v", err)
	}
	if c.server.reload.live.Load() != before {
		t.Error("something is swapped")
	}
	if c.gauge(ok) != 0 {
		t.Errorf("%s %v, want 0", ok, c.gauge(ok))
	}
	var line struct {
		Level, File string
		Problems    []string
	}
	c.logLine("refused", &line)
	if line.Level != "ERROR" || line.File != c.path || !cmp.Equal(line.Problems, config.Problems(err)) {
		t.Errorf("the log says %+v", line)
	}
	if strings.Contains(c.log.String(), "s3cret") {
		t.Error("the log shows a secret")
	}
	if err := c.reload("log_level: error\n"); err != nil {
		t.Fatal(err)
	}
	if c.gauge(ok) != 1 {
		t.Errorf("%s %v, want 1", ok, c.gauge(ok))
	}
	if c.level.Level() != slog.LevelError {
		t.Errorf("the log's level is %v", c.level.Level())
	}
}

func TestWhatOnlyAStartAppliesIsSaid(t *testing.T) {
	t.Parallel()
	c := startConfigured(t, embeddedStores(t), "")
	if err := c.reload("external_url: https://ci.example.com\nslack_channel: C1\nenv_keep: []\n"); err != nil {
		t.Fatal(err)
	}
	var line struct {
		Level    string
		Settings []string
	}
	c.logLine("restart", &line)
	if diff := cmp.Diff([]string{"external_url", "slack_channel"}, line.Settings); diff != "" || line.Level != "WARN" {
		t.Errorf("the log says %s (-want +got):\n%s", line.Level, diff)
	}
	if keep := c.server.reload.live.Load().EnvKeep; keep == nil || len(keep) > 0 {
		t.Errorf("the rest does not follow: env_keep is %v", keep)
	}
}

func TestServerWithoutAFileHasNothingToReload(t *testing.T) {
	t.Parallel()
	r := startServer(t, embeddedStores(t))
	if err := r.server.Reload(); err != nil {
		t.Fatal(err)
	}
	r.logLine("no configuration file", new(any))
}

// teams keeps the teams of what is appended.
type teams []string

func (t *teams) Append(_ context.Context, d db.Delivery) (db.Appended, error) {
	*t = append(*t, d.Team)
	return db.Appended{}, nil
}

func TestEventsBelongToTheTeamOfTheirPipeline(t *testing.T) {
	t.Parallel()
	var got teams
	live := config.Live{Teams: []config.Team{{Name: "Web", Pipelines: []string{"acme/web"}}}}
	m := newMetrics()
	h := &webhook{
		events: &got, open: true, live: func() *config.Live { return &live }, memory: semaphore.NewWeighted(maxInFlight),
		refusals: quietRefusals(""), arrivals: &arrivals{metrics: &m.reconcile},
		recorded: func(string) {}, metrics: m, log: slog.New(slog.DiscardHandler),
	}
	for _, d := range []traffic.Delivery{
		tell("web", 1).event("build.running", nil), tell("api", 1).event("build.running", nil),
		{Event: "agent.connected", Body: []byte(`{"event":"agent.connected","agent":{"id":"a"},"organization":{"slug":"acme"}}`)},
	} {
		q := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/buildkite", bytes.NewReader(d.Body))
		q.RemoteAddr = "127.0.0.1:1234"
		q.Header.Set("X-Buildkite-Event", d.Event)
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, q); w.Code != http.StatusOK {
			t.Fatalf("%s is answered %d: %s", d.Event, w.Code, w.Body)
		}
	}
	if diff := cmp.Diff(teams{"Web", "", ""}, got); diff != "" {
		t.Errorf("teams (-want +got):\n%s", diff)
	}
}

func TestDefaultOfEnvKeepIsOne(t *testing.T) {
	t.Parallel()
	cfg, err := config.ServeFlags{}.Config()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(buildkite.DefaultEnvKeep(), cfg.Live.EnvKeep); diff != "" {
		t.Errorf("names kept by default (-buildkite +config):\n%s", diff)
	}
}

// gauge reads one of a server's metrics that has no labels.
func (r *running) gauge(name string) float64 {
	r.t.Helper()
	families, err := r.server.metrics.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	r.t.Fatalf("there is no %s", name)
	return 0
}

// logLine decodes the first line of a server's log whose message has a text.
func (r *running) logLine(text string, into any) {
	r.t.Helper()
	for line := range strings.Lines(r.log.String()) {
		var entry struct{ Msg string }
		if err := json.Unmarshal([]byte(line), &entry); err == nil && strings.Contains(entry.Msg, text) {
			if err := json.Unmarshal([]byte(line), into); err != nil {
				r.t.Fatal(err)
			}
			return
		}
	}
	r.t.Fatalf("the log does not say %q:\n%s", text, r.log)
}
