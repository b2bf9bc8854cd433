package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"time"
)

// Config is what the server was told, checked. What has a key is a setting that
// only a start applies; the rest may change while the server runs.
type Config struct {
	// File is where settings and Live come from.
	File File
	Live Live

	// ListenAddr is host:port; an empty host is every interface, port 0 a free port.
	ListenAddr string `key:"listen_addr"`
	// AdminAddr is a second listener, as host:port, for metrics and /-/ routes.
	// Empty: they share ListenAddr.
	AdminAddr string `key:"admin_addr"`
	// ExternalURL is how people reach the server: http or https, without a
	// slash at its end. Empty when nobody said.
	ExternalURL string `key:"external_url"`

	// Production says that nothing is open that has no secret.
	Production bool `key:"production"`
	// WebhookTokens are the tokens that Buildkite may use; none outside
	// production means that loopback may post.
	WebhookTokens Secrets `key:"buildkite_webhook_token"`
	// APITokens are bearer tokens for reading.
	APITokens Secrets `key:"api_tokens"`
	// DebugPassword is the password of user devx.
	DebugPassword Secret `key:"debug_password"`

	// DataDir is where the embedded stores keep everything.
	DataDir string `key:"data_dir"`
	// DatabaseURL is a postgres:// or postgresql:// URL; empty means the
	// embedded event store.
	DatabaseURL Secret `key:"database_url"`
	// DatabaseListenURL is where to listen for notifications, when DatabaseURL is a
	// pooler; empty means DatabaseURL.
	DatabaseListenURL Secret `key:"database_listen_url"`
	// BusQueueSize is how many notifications wait for one reader, 1000 to 1000000.
	BusQueueSize int `key:"db_notification_bus_queue_size"`
	// RedisURL says where Redis is; empty means the embedded one.
	RedisURL Secret `key:"redis_url"`
	// BuildTTL is how long Redis keeps a finished build; above 0.
	BuildTTL time.Duration `key:"build_ttl"`

	// SlackToken is the bot's token; empty means that notices are logged instead.
	SlackToken Secret `key:"slack_token"`
	// SlackChannel is a channel's name or ID; set when SlackToken is.
	SlackChannel string `key:"slack_channel"`
	// SlackAPIURL is http or https and ends in /api/.
	SlackAPIURL string `key:"slack_api_url"`
	// SlackDebug asks for slack-go's debug output.
	SlackDebug bool `key:"slack_debug"`
	// Notices is false when none may be sent.
	Notices bool `key:"notices"`
	// NoticeMaxAge is how long ago a build may have finished to be announced;
	// above 0.
	NoticeMaxAge time.Duration `key:"notice_max_age"`

	// WebhookSources says from where deliveries are taken.
	WebhookSources Sources `key:"buildkite_webhook_ips"`
	// TrustedProxies are believed about who asked them.
	TrustedProxies []netip.Prefix `key:"trusted_proxies"`

	BuildkiteAPI    BuildkiteAPI
	Reconcile       Reconcile
	MetricsPipeline MetricsPipeline `key:"metrics_pipeline"`
	BigQuery        BigQuery

	Log Log
}

// Log says what is logged, and how.
type Log struct {
	Level  slog.Level
	Format LogFormat `key:"log_format"`
}

// LogFormat is the form of log lines.
type LogFormat string

// The forms of log lines. LogAuto is text on a terminal and JSON elsewhere.
const (
	LogAuto LogFormat = "auto"
	LogJSON LogFormat = "json"
	LogText LogFormat = "text"
)

// Client says how to reach a running server.
type Client struct {
	// URL is http or https, without a slash at its end.
	URL string
	// Named: the command line says so, and that server is meant, whatever stores are
	// here. The environment says it for all commands at once.
	Named bool
	// Token is the bearer token; empty for none.
	Token Secret
}

// Unreachable says what to do where the server that a command needs does not answer.
func (c *Client) Unreachable(err error) error {
	if cause := new(url.Error); errors.As(err, &cause) {
		err = cause.Err // the rest repeats the address
	}
	if c.Named {
		return fmt.Errorf("%s does not answer: %w (--url says where the server is)", c.URL, err)
	}
	return fmt.Errorf("a running server holds the data folder, but %s does not answer: %w (name its address with --url)", c.URL, err)
}
