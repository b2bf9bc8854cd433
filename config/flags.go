package config

import "github.com/alecthomas/kong"

// Defaults, which the tags below repeat for --help.
const (
	defaultListenAddr   = "127.0.0.1:8080"
	defaultDataDir      = "./data"
	defaultBuildTTL     = "24h"
	defaultBusQueueSize = "10000"
	defaultSlackAPIURL  = "https://slack.com/api/"
	defaultNotices      = "on"
	defaultNoticeMaxAge = "24h"
	defaultLogLevel     = "info"
	defaultLogFormat    = "auto"
	defaultURL          = "http://127.0.0.1:8080"
)

// LogFlags are the flags of every command.
type LogFlags struct {
	LogLevel  string `name:"log-level" env:"LOG_LEVEL" default:"info" placeholder:"info" group:"Logs" help:"What to log: debug, info, warn or error."`
	LogFormat string `name:"log-format" env:"LOG_FORMAT" default:"auto" placeholder:"auto" group:"Logs" help:"How to log: json, text, or auto, which is text on a terminal and JSON elsewhere."`
}

// StoreFlags say where events and builds are kept.
type StoreFlags struct {
	DataDir         string   `name:"data-dir" env:"DATA_DIR" default:"./data" placeholder:"./data" group:"Stores" help:"Folder of the embedded stores."`
	DatabaseURL     Secret   `name:"database-url" env:"DATABASE_URL" placeholder:"URL" group:"Stores" help:"PostgreSQL, as postgres://USER:PASSWORD@HOST:5432/DATABASE. Without it: an embedded event store in the data folder."`
	DatabaseURLFile string   `name:"database-url-file" env:"DATABASE_URL_FILE" placeholder:"FILE" group:"Stores" help:"File that holds the database URL."`
	RedisURL        Secret   `name:"redis-url" env:"REDIS_URL" placeholder:"URL" group:"Stores" help:"Redis, as redis:// or rediss://[USER:PASSWORD@]HOST:6379[/DB]; the nodes of a cluster, as redis://HOST:6379,HOST:6379; or sentinels, as redis+sentinel://HOST:26379,HOST:26379/MASTER. Without it: an embedded Redis."`
	RedisURLFile    string   `name:"redis-url-file" env:"REDIS_URL_FILE" placeholder:"FILE" group:"Stores" help:"File that holds the Redis URL."`
	BuildTTL        Duration `name:"build-ttl" env:"BUILD_TTL" default:"24h" placeholder:"24h" group:"Stores" help:"How long Redis keeps a finished build."`
}

// NoticeFlags say which builds are announced.
type NoticeFlags struct {
	Notices      string   `name:"notices" env:"NOTICES" default:"on" placeholder:"on" group:"Notices" help:"on, or off to send none."`
	NoticeMaxAge Duration `name:"notice-max-age" env:"NOTICE_MAX_AGE" default:"24h" placeholder:"24h" group:"Notices" help:"Builds that finished longer ago are recorded but not announced."`
}

// ServeFlags are the flags of the server.
type ServeFlags struct {
	FileFlags

	ListenAddr  string `name:"listen-addr" env:"LISTEN_ADDR" default:"127.0.0.1:8080" placeholder:"127.0.0.1:8080" group:"Listeners" help:"Address to listen on, HOST:PORT; port 0 picks a free one."`
	Port        string `name:"port" env:"PORT" placeholder:"PORT" group:"Listeners" help:"Port to listen on, on every interface, where no listen address is set."`
	AdminAddr   string `name:"admin-addr" env:"ADMIN_ADDR" placeholder:"HOST:PORT" group:"Listeners" help:"Address of a second listener, for /metrics and /-/ routes. Without it they share the first."`
	ExternalURL string `name:"external-url" env:"EXTERNAL_URL" placeholder:"URL" group:"Listeners" help:"How people reach this server, for links in messages."`

	Production        Bool   `name:"production" env:"BUILDTRACKER_PRODUCTION" group:"Access" help:"Refuse to start without a webhook token and a debug password, and with embedded stores."`
	AllowEmbedded     Bool   `name:"allow-embedded" env:"BUILDTRACKER_ALLOW_EMBEDDED" group:"Access" help:"Let production use the embedded stores."`
	WebhookToken      Secret `name:"buildkite-webhook-token" env:"BUILDKITE_WEBHOOK_TOKEN" placeholder:"TOKEN,…" group:"Access" help:"Token of the Buildkite webhook; several while rotating."`
	WebhookTokenFile  string `name:"buildkite-webhook-token-file" env:"BUILDKITE_WEBHOOK_TOKEN_FILE" placeholder:"FILE" group:"Access" help:"File that holds the webhook tokens."`
	APITokens         Secret `name:"api-tokens" env:"BUILDTRACKER_API_TOKENS" placeholder:"TOKEN,…" group:"Access" help:"Bearer tokens for reading the API."`
	APITokensFile     string `name:"api-tokens-file" env:"BUILDTRACKER_API_TOKENS_FILE" placeholder:"FILE" group:"Access" help:"File that holds the API tokens."`
	DebugPassword     Secret `name:"debug-password" env:"BUILDTRACKER_DEBUG_PASSWORD" placeholder:"PASSWORD" group:"Access" help:"Password of user devx, who reads in production."`
	DebugPasswordFile string `name:"debug-password-file" env:"BUILDTRACKER_DEBUG_PASSWORD_FILE" placeholder:"FILE" group:"Access" help:"File that holds the debug password."`

	SlackToken     Secret `name:"slack-token" env:"SLACK_TOKEN" placeholder:"TOKEN" group:"Notices" help:"Token of the Slack bot. Without it notices are logged."`
	SlackTokenFile string `name:"slack-token-file" env:"SLACK_TOKEN_FILE" placeholder:"FILE" group:"Notices" help:"File that holds the Slack token."`
	SlackChannel   string `name:"slack-channel" env:"SLACK_CHANNEL" placeholder:"CHANNEL" group:"Notices" help:"Channel for notices, a name or an ID."`
	SlackAPIURL    string `name:"slack-api-url" env:"SLACK_API_URL" default:"https://slack.com/api/" placeholder:"https://slack.com/api/" group:"Notices" help:"Slack's API; ends in /api/."`
	SlackDebug     Bool   `name:"slack-debug" env:"BUILD_TRACKER_SLACK_DEBUG" group:"Notices" help:"Log what goes to and from Slack."`

	DatabaseListenURL     Secret `name:"database-listen-url" env:"DATABASE_LISTEN_URL" placeholder:"URL" group:"Stores" help:"PostgreSQL itself, for LISTEN, where the database URL is a pooler's in transaction mode."`
	DatabaseListenURLFile string `name:"database-listen-url-file" env:"DATABASE_LISTEN_URL_FILE" placeholder:"FILE" group:"Stores" help:"File that holds that URL."`
	BusQueueSize          string `name:"db-notification-bus-queue-size" env:"DB_NOTIFICATION_BUS_QUEUE_SIZE" default:"10000" placeholder:"10000" group:"Stores" help:"How many notifications may wait for one reader, 1000 to 1000000. One that is lost costs a second, never an event."`

	SourceFlags
	BuildkiteAPIFlags
	ReconcileFlags
	MetricsPipelineFlags
	BigQueryFlags
	NoticeFlags
	StoreFlags
	LogFlags
}

// ClientFlags say how a command reaches a running server.
type ClientFlags struct {
	URL       string `name:"url" env:"BUILDTRACKER_URL" default:"http://127.0.0.1:8080" placeholder:"http://127.0.0.1:8080" group:"Running server" help:"Where the running server is."`
	Token     Secret `name:"token" env:"BUILDTRACKER_TOKEN" placeholder:"TOKEN" group:"Running server" help:"Bearer token for it."`
	TokenFile string `name:"token-file" env:"BUILDTRACKER_TOKEN_FILE" placeholder:"FILE" group:"Running server" help:"File that holds the token."`
}

// RebuildFlags are the flags of a rebuild: it works on the stores, or has the
// running server that holds them do it.
type RebuildFlags struct {
	FileFlags
	StoreFlags
	MetricsPipelineFlags
	NoticeFlags
	ClientFlags
	LogFlags
}

// MigrateFlags are the flags of a migration.
type MigrateFlags struct {
	FileFlags
	StoreFlags
	LogFlags
}

// Duration is the text of a duration: 90m, 24h, 7d.
type Duration string

// Bool is the text of a yes or no. As a flag it needs no value.
type Bool string

// IsBool tells kong that the flag needs no value.
func (Bool) IsBool() bool { return true }

// Decode takes the text as it is; Config says what is wrong with it.
func (b *Bool) Decode(ctx *kong.DecodeContext) error {
	if ctx.Scan.Peek().Type != kong.FlagValueToken {
		*b = "true"
		return nil
	}
	token := ctx.Scan.Pop()
	text, ok := token.Value.(string)
	if !ok { // kong's own default for a flag that needs no value
		text = token.String()
	}
	*b = Bool(text)
	return nil
}
