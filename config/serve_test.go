package config_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

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
		SlackAPIURL: "https://slack.com/api/", BusQueueSize: 10_000, Notices: true, NoticeMaxAge: 24 * time.Hour,
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
			if diff := cmp.Diff(want, got); diff != "" {
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
		"an address without a port":  {func(f *config.ServeFlags) { f.ListenAddr = "localhost" }, `LISTEN_ADDR is "localhost", which is no address: write HOST:PORT`},
		"a port out of range":        {func(f *config.ServeFlags) { f.AdminAddr = ":65536" }, "ADMIN_ADDR is"},
		"a PORT with a colon":        {func(f *config.ServeFlags) { f.Port = ":80" }, "PORT is"},
		"two listeners at one place": {func(f *config.ServeFlags) { f.ListenAddr, f.AdminAddr = ":80", ":80" }, "ADMIN_ADDR is the address of LISTEN_ADDR"},
		"a duration without a unit":  {func(f *config.ServeFlags) { f.BuildTTL = "24" }, `BUILD_TTL is "24", which is no duration`},
		"no duration at all":         {func(f *config.ServeFlags) { f.NoticeMaxAge = "0s" }, "NOTICE_MAX_AGE is"},
		"neither on nor off":         {func(f *config.ServeFlags) { f.Notices = "false" }, `NOTICES is "false": write on or off`},
		"neither yes nor no":         {func(f *config.ServeFlags) { f.Production = "prod" }, "BUILDTRACKER_PRODUCTION is"},
		"an unknown log level":       {func(f *config.ServeFlags) { f.LogLevel = "loud" }, `LOG_LEVEL is "loud": write debug, info, warn or error`},
		"an unknown log format":      {func(f *config.ServeFlags) { f.LogFormat = "xml" }, "LOG_FORMAT is"},
		"a page that is no web page": {func(f *config.ServeFlags) { f.ExternalURL = "ci.example.com" }, "EXTERNAL_URL is"},
		"a Slack API without /api/":  {func(f *config.ServeFlags) { f.SlackAPIURL = "https://slack.com/api" }, "SLACK_API_URL is"},
		"Slack without a channel":    {func(f *config.ServeFlags) { f.SlackToken = "hush" }, "SLACK_CHANNEL is not set, but SLACK_TOKEN is"},
		"a trailing comma":           {func(f *config.ServeFlags) { f.WebhookToken = "hush," }, "BUILDKITE_WEBHOOK_TOKEN has an empty entry, number 2"},
		"an empty token in between":  {func(f *config.ServeFlags) { f.APITokens = "hush, ,hush" }, "BUILDTRACKER_API_TOKENS has an empty entry, number 2"},
		"another database":           {func(f *config.ServeFlags) { f.DatabaseURL = "mysql://u:hush@db/t" }, "DATABASE_URL is not a PostgreSQL URL"},
		"a DSN":                      {func(f *config.ServeFlags) { f.DatabaseURL = "host=db password=hush" }, "DATABASE_URL is not a PostgreSQL URL"},
		"a bare slash in a password": {func(f *config.ServeFlags) { f.DatabaseURL = "postgres://u:hush/hush@db/t" }, "DATABASE_URL cannot be read as a URL"},
		"a bare # in a password":     {func(f *config.ServeFlags) { f.RedisURL = "redis://:hush#hush@cache:6379" }, "REDIS_URL cannot be read as a URL"},
		"an address as Redis":        {func(f *config.ServeFlags) { f.RedisURL = "cache:6379" }, "REDIS_URL is not a Redis URL"},
		"a cluster node too few":     {func(f *config.ServeFlags) { f.RedisURL = "redis://a:1,,b:1" }, "REDIS_URL lacks a host"},
		"a database of a cluster":    {func(f *config.ServeFlags) { f.RedisURL = "redis://a:1,b:1/3" }, "REDIS_URL names a database"},
		"sentinels of nobody":        {func(f *config.ServeFlags) { f.RedisURL = "redis+sentinel://a:1" }, "REDIS_URL names sentinels but no master"},
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
