package config

import (
	"log/slog"
	"time"
)

// Config is what the server was told, checked.
type Config struct {
	// ListenAddr is host:port; an empty host is every interface, port 0 a free port.
	ListenAddr string
	// AdminAddr is a second listener, as host:port, for metrics and /-/ routes.
	// Empty: they share ListenAddr.
	AdminAddr string
	// ExternalURL is how people reach the server: http or https, without a
	// slash at its end. Empty when nobody said.
	ExternalURL string

	// Production says that nothing is open that has no secret.
	Production bool
	// WebhookTokens are the tokens that Buildkite may use; none outside
	// production means that loopback may post.
	WebhookTokens Secrets
	// APITokens are bearer tokens for reading.
	APITokens Secrets
	// DebugPassword is the password of user devx.
	DebugPassword Secret

	// DataDir is where the embedded stores keep everything.
	DataDir string
	// DatabaseURL is a postgres:// or postgresql:// URL; empty means the
	// embedded event store.
	DatabaseURL Secret
	// RedisURL says where Redis is; empty means the embedded one.
	RedisURL Secret
	// BuildTTL is how long Redis keeps a finished build; above 0.
	BuildTTL time.Duration

	// SlackToken is the bot's token; empty means that notices are logged instead.
	SlackToken Secret
	// SlackChannel is a channel's name or ID; set when SlackToken is.
	SlackChannel string
	// SlackAPIURL is http or https and ends in /api/.
	SlackAPIURL string
	// SlackDebug asks for slack-go's debug output.
	SlackDebug bool
	// Notices is false when none may be sent.
	Notices bool
	// NoticeMaxAge is how long ago a build may have finished to be announced;
	// above 0.
	NoticeMaxAge time.Duration

	Log Log
}

// Log says what is logged, and how.
type Log struct {
	Level  slog.Level
	Format LogFormat
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
	// Token is the bearer token; empty for none.
	Token Secret
}
