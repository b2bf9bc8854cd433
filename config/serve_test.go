package config_test

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/build-tracker/build-tracker/config"
)

const day = 24 * time.Hour

// defaults is the configuration of a server that was told nothing.
func defaults() *config.Config {
	return &config.Config{
		Live: config.Live{
			EnvKeep:   []string{"RELEASE_PUBLIC", "RELEASE_INTERNAL"},
			Retention: config.Retention{Events: 90 * day, Builds: 400 * day, Deliveries: 30 * day},
		},
		ListenAddr: "127.0.0.1:8080", DataDir: "./data", BuildTTL: 24 * time.Hour,
		BuildkiteAPI:    config.BuildkiteAPI{URL: "https://api.buildkite.com"},
		Reconcile:       config.Reconcile{Interval: 10 * time.Minute},
		MetricsPipeline: config.MetricsPipeline{Branch: "main", Commit: "HEAD", EnvPrefix: "TRIGGERED_FROM_BUILD_"},
		SlackAPIURL:     "https://slack.com/api/", BusQueueSize: 10_000, Notices: true, NoticeMaxAge: 24 * time.Hour,
		Log: config.Log{Level: slog.LevelInfo, Format: config.LogAuto},
	}
}

// production is the least that production starts with.
func production() config.ServeFlags {
	var f config.ServeFlags
	f.Production = "true"
	f.WebhookToken, f.DebugPassword = "hook-secret", "debug-secret"
	f.DatabaseURL, f.RedisURL = "postgres://db/tracker", "redis://cache:6379"
	return f
}

func TestServeReads(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*config.ServeFlags)
		want   func(*config.Config)
	}{
		"nothing": {func(*config.ServeFlags) {}, func(*config.Config) {}},
		"PORT alone as every interface": {
			func(f *config.ServeFlags) { f.Port = "9000" },
			func(c *config.Config) { c.ListenAddr = ":9000" },
		},
		"LISTEN_ADDR before PORT": {
			func(f *config.ServeFlags) { f.Port, f.ListenAddr = "9000", "[::1]:7000" },
			func(c *config.Config) { c.ListenAddr = "[::1]:7000" },
		},
		"port 0": {
			func(f *config.ServeFlags) { f.ListenAddr, f.AdminAddr = "127.0.0.1:0", "127.0.0.1:0" },
			func(c *config.Config) { c.ListenAddr, c.AdminAddr = "127.0.0.1:0", "127.0.0.1:0" },
		},
		"blank as not set": {
			func(f *config.ServeFlags) {
				f.ListenAddr, f.Production, f.Notices, f.NoticeMaxAge = " ", " ", " ", " "
				f.WebhookToken, f.DatabaseURL, f.SlackToken, f.SlackTokenFile = " ", " ", "\n", " "
			},
			func(*config.Config) {},
		},
		"tokens, several": {
			func(f *config.ServeFlags) { f.WebhookToken, f.APITokens = "new, old", "reader" },
			func(c *config.Config) {
				c.WebhookTokens, c.APITokens = config.Secrets{"new", "old"}, config.Secrets{"reader"}
			},
		},
		"Slack": {
			func(f *config.ServeFlags) {
				f.SlackToken, f.SlackChannel, f.SlackAPIURL, f.SlackDebug = "xoxb", "#builds", "http://127.0.0.1:1/api/", "1"
			},
			func(c *config.Config) {
				c.SlackToken, c.SlackChannel, c.SlackAPIURL, c.SlackDebug = "xoxb", "#builds", "http://127.0.0.1:1/api/", true
			},
		},
		"notices off": {
			func(f *config.ServeFlags) { f.Notices, f.NoticeMaxAge, f.BuildTTL = "off", "90m", "1h" },
			func(c *config.Config) {
				c.Notices, c.NoticeMaxAge, c.BuildTTL = false, 90*time.Minute, time.Hour
			},
		},
		"logs": {
			func(f *config.ServeFlags) { f.LogLevel, f.LogFormat = "DEBUG", "json" },
			func(c *config.Config) { c.Log = config.Log{Level: slog.LevelDebug, Format: config.LogJSON} },
		},
		"an external URL without its last slash": {
			func(f *config.ServeFlags) { f.ExternalURL = "https://ci.example.com/builds/" },
			func(c *config.Config) { c.ExternalURL = "https://ci.example.com/builds" },
		},
		"BigQuery": {
			func(f *config.ServeFlags) {
				f.BigQueryProject, f.BigQueryDataset, f.BigQueryWrite = "acme-builds", "builds", "default-stream"
			},
			func(c *config.Config) {
				c.BigQuery = config.BigQuery{Project: "acme-builds", Dataset: "builds", DefaultStream: true}
			},
		},
		"an emulator of BigQuery": {
			func(f *config.ServeFlags) {
				f.BigQueryEndpoint, f.BigQueryStorageEndpoint = "http://127.0.0.1:9050/", "127.0.0.1:9060"
			},
			func(c *config.Config) {
				c.BigQuery.Endpoint, c.BigQuery.StorageEndpoint = "http://127.0.0.1:9050", "127.0.0.1:9060"
			},
		},
		"a metrics pipeline": {
			func(f *config.ServeFlags) {
				f.BuildkiteToken, f.BuildkiteAPIURL = "hush", "http://127.0.0.1:1/"
				f.MetricsPipeline, f.MetricsPipelineBranch, f.MetricsPipelineCommit, f.MetricsPipelineEnvPrefix = "acme/metrics", "trunk", "abc", "OF_"
			},
			func(c *config.Config) {
				c.BuildkiteAPI = config.BuildkiteAPI{Token: "hush", URL: "http://127.0.0.1:1"}
				c.MetricsPipeline = config.MetricsPipeline{Organization: "acme", Pipeline: "metrics", Branch: "trunk", Commit: "abc", EnvPrefix: "OF_"}
			},
		},
		"looking for lost webhooks": {
			func(f *config.ServeFlags) { f.ReconcileInterval, f.ReconcileOrganizations = "1h", "acme, globex" },
			func(c *config.Config) {
				c.Reconcile = config.Reconcile{Interval: time.Hour, Organizations: []string{"acme", "globex"}}
			},
		},
		"where deliveries come from": {
			func(f *config.ServeFlags) {
				f.BuildkiteToken, f.WebhookIPs, f.TrustedProxies = "hush", "auto, 192.0.2.7", "10.1.2.3/8,::1"
			},
			func(c *config.Config) {
				c.BuildkiteAPI.Token = "hush"
				c.WebhookSources = config.Sources{Auto: true, Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32")}}
				c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
			},
		},
		"production": {
			func(f *config.ServeFlags) { *f = production() },
			func(c *config.Config) {
				c.Production, c.WebhookTokens, c.DebugPassword = true, config.Secrets{"hook-secret"}, "debug-secret"
				c.DatabaseURL, c.RedisURL = "postgres://db/tracker", "redis://cache:6379"
			},
		},
		"production on embedded stores, if told so": {
			func(f *config.ServeFlags) {
				*f = production()
				f.Production, f.AllowEmbedded, f.DatabaseURL, f.RedisURL = "YES", "true", "", ""
			},
			func(c *config.Config) {
				c.Production, c.WebhookTokens, c.DebugPassword = true, config.Secrets{"hook-secret"}, "debug-secret"
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var flags config.ServeFlags
			tc.change(&flags)
			want := defaults()
			tc.want(want)
			got, err := flags.Config()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
				t.Errorf("configuration (-want +got):\n%s", diff)
			}
		})
	}
}

func TestServeRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*config.ServeFlags)
		want   string // begins the only line
	}{
		"an address without a port":      {func(f *config.ServeFlags) { f.ListenAddr = "localhost" }, `LISTEN_ADDR is "localhost", which is no address: write HOST:PORT`},
		"a port out of range":            {func(f *config.ServeFlags) { f.AdminAddr = ":65536" }, "ADMIN_ADDR is"},
		"a PORT with a colon":            {func(f *config.ServeFlags) { f.Port = ":80" }, "PORT is"},
		"two listeners at one place":     {func(f *config.ServeFlags) { f.ListenAddr, f.AdminAddr = ":80", ":80" }, "ADMIN_ADDR is the address of LISTEN_ADDR"},
		"a duration without a unit":      {func(f *config.ServeFlags) { f.BuildTTL = "24" }, `BUILD_TTL is "24", which is no duration`},
		"no duration at all":             {func(f *config.ServeFlags) { f.NoticeMaxAge = "0s" }, "NOTICE_MAX_AGE is"},
		"neither on nor off":             {func(f *config.ServeFlags) { f.Notices = "false" }, `NOTICES is "false": write on or off`},
		"neither yes nor no":             {func(f *config.ServeFlags) { f.Production = "prod" }, "BUILDTRACKER_PRODUCTION is"},
		"an unknown log level":           {func(f *config.ServeFlags) { f.LogLevel = "loud" }, `LOG_LEVEL is "loud": write debug, info, warn or error`},
		"an unknown log format":          {func(f *config.ServeFlags) { f.LogFormat = "xml" }, "LOG_FORMAT is"},
		"a page that is no web page":     {func(f *config.ServeFlags) { f.ExternalURL = "ci.example.com" }, "EXTERNAL_URL is"},
		"a Slack API without /api/":      {func(f *config.ServeFlags) { f.SlackAPIURL = "https://slack.com/api" }, "SLACK_API_URL is"},
		"Slack without a channel":        {func(f *config.ServeFlags) { f.SlackToken = "hush" }, "SLACK_CHANNEL is not set, but SLACK_TOKEN is"},
		"a trailing comma":               {func(f *config.ServeFlags) { f.WebhookToken = "hush," }, "BUILDKITE_WEBHOOK_TOKEN has an empty entry, number 2"},
		"an empty token in between":      {func(f *config.ServeFlags) { f.APITokens = "hush, ,hush" }, "BUILDTRACKER_API_TOKENS has an empty entry, number 2"},
		"tokens on lines":                {func(f *config.ServeFlags) { f.WebhookToken = "hush,hush\nhush" }, "BUILDKITE_WEBHOOK_TOKEN has a line break, or another character that no token has, in number 2"},
		"another database":               {func(f *config.ServeFlags) { f.DatabaseURL = "mysql://u:hush@db/t" }, "DATABASE_URL is not a PostgreSQL URL"},
		"a DSN":                          {func(f *config.ServeFlags) { f.DatabaseURL = "host=db password=hush" }, "DATABASE_URL is not a PostgreSQL URL"},
		"a bare slash in a password":     {func(f *config.ServeFlags) { f.DatabaseURL = "postgres://u:hush/hush@db/t" }, "DATABASE_URL cannot be read as a URL"},
		"a bare # in a password":         {func(f *config.ServeFlags) { f.RedisURL = "redis://:hush#hush@cache:6379" }, "REDIS_URL cannot be read as a URL"},
		"an address as Redis":            {func(f *config.ServeFlags) { f.RedisURL = "cache:6379" }, "REDIS_URL is not a Redis URL"},
		"a cluster node too few":         {func(f *config.ServeFlags) { f.RedisURL = "redis://a:1,,b:1" }, "REDIS_URL lacks a host"},
		"a database of a cluster":        {func(f *config.ServeFlags) { f.RedisURL = "redis://a:1,b:1/3" }, "REDIS_URL names a database"},
		"sentinels of nobody":            {func(f *config.ServeFlags) { f.RedisURL = "redis+sentinel://a:1" }, "REDIS_URL names sentinels but no master"},
		"a BigQuery project alone":       {func(f *config.ServeFlags) { f.BigQueryProject = "acme" }, "BIGQUERY_DATASET is not set, but BIGQUERY_PROJECT is"},
		"a BigQuery dataset alone":       {func(f *config.ServeFlags) { f.BigQueryDataset = "builds" }, "BIGQUERY_PROJECT is not set, but BIGQUERY_DATASET is"},
		"a dataset with a hyphen":        {func(f *config.ServeFlags) { f.BigQueryProject, f.BigQueryDataset = "acme", "my-builds" }, "BIGQUERY_DATASET is"},
		"half an emulator":               {func(f *config.ServeFlags) { f.BigQueryEndpoint = "http://127.0.0.1:1" }, "BIGQUERY_STORAGE_ENDPOINT is not set"},
		"the other half of an emulator":  {func(f *config.ServeFlags) { f.BigQueryStorageEndpoint = "127.0.0.1:1" }, "BIGQUERY_ENDPOINT is not set"},
		"an unknown way to write":        {func(f *config.ServeFlags) { f.BigQueryWrite = "buffered" }, `BIGQUERY_WRITE is "buffered": write committed or default-stream`},
		"a metrics pipeline, no token":   {func(f *config.ServeFlags) { f.MetricsPipeline = "acme/metrics" }, "METRICS_PIPELINE is set, but BUILDKITE_TOKEN is not"},
		"a metrics pipeline of nobody":   {func(f *config.ServeFlags) { f.MetricsPipeline, f.BuildkiteToken = "metrics", "hush" }, `METRICS_PIPELINE is "metrics": write ORG/PIPELINE`},
		"variables that are Buildkite's": {func(f *config.ServeFlags) { f.MetricsPipelineEnvPrefix = "BUILDKITE_" }, "METRICS_PIPELINE_ENV_PREFIX is"},
		"a list of addresses by name":    {func(f *config.ServeFlags) { f.TrustedProxies = "proxy.example.com" }, "TRUSTED_PROXIES has the entry"},
		"Buildkite's addresses untold":   {func(f *config.ServeFlags) { f.WebhookIPs = "auto" }, "BUILDKITE_WEBHOOK_IPS is auto, but BUILDKITE_TOKEN is not set"},
		"production without a webhook token": {func(f *config.ServeFlags) {
			*f = production()
			f.WebhookToken = " "
		}, "BUILDKITE_WEBHOOK_TOKEN is not set"},
		"production without a debug password": {func(f *config.ServeFlags) {
			*f = production()
			f.DebugPassword = ""
		}, "BUILDTRACKER_DEBUG_PASSWORD is not set"},
		"production with an embedded event store": {func(f *config.ServeFlags) {
			*f = production()
			f.DatabaseURL = ""
		}, "DATABASE_URL is not set"},
		"production with an embedded Redis": {func(f *config.ServeFlags) {
			*f = production()
			f.RedisURL = ""
		}, "REDIS_URL is not set"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var flags config.ServeFlags
			tc.change(&flags)
			_, err := flags.Config()
			if err == nil {
				t.Fatal("no error")
			}
			if text := err.Error(); !strings.HasPrefix(text, tc.want) || strings.Contains(text, "\n") || strings.Contains(text, "hush") {
				t.Errorf("error %q, want one line that begins with %q and shows no secret", text, tc.want)
			}
		})
	}
}

func TestServeReportsAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	var flags config.ServeFlags
	flags.Production, flags.BuildTTL, flags.LogLevel, flags.SlackToken = "yes", "soon", "loud", "hush"
	_, err := flags.Config()
	if err == nil {
		t.Fatal("no error")
	}
	var variables []string
	for line := range strings.Lines(err.Error()) {
		variable, _, _ := strings.Cut(line, " ")
		variables = append(variables, variable)
	}
	want := []string{
		"BUILD_TTL", "LOG_LEVEL", "SLACK_CHANNEL", "BUILDKITE_WEBHOOK_TOKEN",
		"BUILDTRACKER_DEBUG_PASSWORD", "DATABASE_URL", "REDIS_URL",
	}
	if diff := cmp.Diff(want, variables); diff != "" {
		t.Errorf("variables with a problem (-want +got):\n%s", diff)
	}
}

func TestServeTakesEveryFormOfURL(t *testing.T) {
	t.Parallel()
	for _, url := range []config.Secret{
		"redis://cache", "rediss://u:p%2Fw@cache:6380/2", "redis://a:1,b:1,c:1", "rediss://:p@a:1,b:1/0",
		"redis+sentinel://a:1,b:1/primary", "rediss+sentinel://:p@a:1/primary",
	} {
		var flags config.ServeFlags
		flags.RedisURL = url
		if _, err := flags.Config(); err != nil {
			t.Errorf("%s: %v", url.Value(), err)
		}
	}
	for _, url := range []config.Secret{
		"postgres://u:p@db:5432/t?sslmode=disable", "postgresql://db/t", "postgres:///t?host=/run/postgresql",
		"postgres://a:1,b:1/t?target_session_attrs=read-write",
	} {
		var flags config.ServeFlags
		flags.DatabaseURL = url
		if _, err := flags.Config(); err != nil {
			t.Errorf("%s: %v", url.Value(), err)
		}
	}
}

// parse has kong fill the flags of the server, as the program does.
func parse(t *testing.T, args ...string) config.ServeFlags {
	t.Helper()
	var flags config.ServeFlags
	parser, err := kong.New(&flags, kong.Exit(func(int) { t.Fatal("kong exits") }))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		t.Fatal(err)
	}
	return flags
}

// Not parallel, as the next one: they set variables.
func TestDefaultsInHelpAreTheDefaults(t *testing.T) {
	for _, name := range []string{"LISTEN_ADDR", "PORT", "DATA_DIR", "DATABASE_URL", "REDIS_URL", "SLACK_TOKEN"} {
		t.Setenv(name, "")
	}
	got, err := parse(t).Config()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(defaults(), got); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
}

func TestFlagWinsOverVariableOverDefault(t *testing.T) {
	t.Setenv("BUILD_TTL", "2h")
	t.Setenv("NOTICE_MAX_AGE", "2h")
	t.Setenv("BUILDTRACKER_PRODUCTION", "yes")
	flags := parse(t, "--build-ttl=3h", "--slack-debug")
	got := []string{string(flags.BuildTTL), string(flags.NoticeMaxAge), flags.LogLevel, string(flags.Production), string(flags.SlackDebug)}
	if diff := cmp.Diff([]string{"3h", "2h", "info", "yes", "true"}, got); diff != "" {
		t.Errorf("flags (-want +got):\n%s", diff)
	}
	if got := parse(t, "--production=no", "--slack-debug=maybe"); got.Production != "no" || got.SlackDebug != "maybe" {
		t.Errorf("--production=no --slack-debug=maybe: %q, %q", got.Production, got.SlackDebug)
	}
}
