package config

import (
	"cmp"
	"net"
	"strconv"
	"strings"
)

// Config returns the server's configuration, or an error with all that is wrong
// with it. It reads the files that are named, so calling it again is how to
// reload.
func (f ServeFlags) Config() (*Config, error) {
	p := settle(&f, f.FileFlags)
	c := f.check(p)
	return c, p.err()
}

// check returns what settled flags mean.
func (f ServeFlags) check(p *problems) *Config {
	c := &Config{
		File:          p.layers.file.File,
		Live:          p.layers.file.live,
		ListenAddr:    p.listenAddr(f.ListenAddr, f.Port),
		ExternalURL:   p.webURL("EXTERNAL_URL", f.ExternalURL),
		Production:    p.boolean("BUILDTRACKER_PRODUCTION", f.Production),
		WebhookTokens: p.tokens("BUILDKITE_WEBHOOK_TOKEN", f.WebhookToken, f.WebhookTokenFile),
		APITokens:     p.tokens("BUILDTRACKER_API_TOKENS", f.APITokens, f.APITokensFile),
		DebugPassword: p.secret("BUILDTRACKER_DEBUG_PASSWORD", f.DebugPassword, f.DebugPasswordFile),
		SlackToken:    p.secret("SLACK_TOKEN", f.SlackToken, f.SlackTokenFile),
		SlackChannel:  strings.TrimSpace(f.SlackChannel),
		SlackAPIURL:   p.slackAPIURL(f.SlackAPIURL),
		SlackDebug:    p.boolean("BUILD_TRACKER_SLACK_DEBUG", f.SlackDebug),
	}
	c.BuildkiteAPI = p.buildkiteAPI(f.BuildkiteAPIFlags)
	c.WebhookSources, c.TrustedProxies = p.sources(f.SourceFlags, c.BuildkiteAPI)
	c.Reconcile = p.reconcile(f.ReconcileFlags)
	c.MetricsPipeline = p.metricsPipeline(f.MetricsPipelineFlags)
	if c.MetricsPipeline.On() && c.BuildkiteAPI.Token == "" {
		p.add("METRICS_PIPELINE is set, but BUILDKITE_TOKEN is not: set it to an API access token with read_builds and write_builds")
	}
	c.BigQuery = p.bigQuery(f.BigQueryFlags)
	p.stores(c, f.StoreFlags)
	p.bus(c, f)
	p.notices(c, f.NoticeFlags)
	p.log(c, f.LogFlags)
	if addr := strings.TrimSpace(f.AdminAddr); addr != "" {
		p.addr("ADMIN_ADDR", addr)
		c.AdminAddr = addr
	}
	if c.AdminAddr != "" && c.AdminAddr == c.ListenAddr && !strings.HasSuffix(c.AdminAddr, ":0") {
		p.add("ADMIN_ADDR is the address of LISTEN_ADDR: give it another port, or leave it out to share the listener")
	}
	if c.SlackToken != "" && c.SlackChannel == "" {
		p.add("SLACK_CHANNEL is not set, but SLACK_TOKEN is: set the channel for notices")
	}
	p.production(c, p.boolean("BUILDTRACKER_ALLOW_EMBEDDED", f.AllowEmbedded))
	return c
}

// Limits of DB_NOTIFICATION_BUS_QUEUE_SIZE.
const (
	minBusQueue = 1000
	maxBusQueue = 1_000_000
)

func (p *problems) bus(c *Config, f ServeFlags) {
	c.DatabaseListenURL = p.secret("DATABASE_LISTEN_URL", f.DatabaseListenURL, f.DatabaseListenURLFile)
	p.postgresURL("DATABASE_LISTEN_URL", c.DatabaseListenURL)
	if c.DatabaseListenURL != "" && c.DatabaseURL == "" {
		p.add("DATABASE_LISTEN_URL is set, but DATABASE_URL is not: set both, or neither for the embedded store")
	}
	text := cmp.Or(strings.TrimSpace(f.BusQueueSize), defaultBusQueueSize)
	n, err := strconv.Atoi(text)
	if err != nil || n < minBusQueue || n > maxBusQueue {
		p.add("DB_NOTIFICATION_BUS_QUEUE_SIZE is %q: write a number from %d to %d", text, minBusQueue, maxBusQueue)
	}
	c.BusQueueSize = n
}

// production holds a server in production to having its secrets and real stores.
func (p *problems) production(c *Config, allowEmbedded bool) {
	if !c.Production {
		return
	}
	if len(c.WebhookTokens) == 0 {
		p.add("BUILDKITE_WEBHOOK_TOKEN is not set, and production needs it: set it to the token that Buildkite shows for the webhook")
	}
	if c.DebugPassword == "" {
		p.add("BUILDTRACKER_DEBUG_PASSWORD is not set, and production needs it: set it to a long random text")
	}
	if allowEmbedded {
		return
	}
	if c.DatabaseURL == "" {
		p.add("DATABASE_URL is not set, and production needs PostgreSQL: set it, or allow the embedded store with --allow-embedded")
	}
	if c.RedisURL == "" {
		p.add("REDIS_URL is not set, and production needs Redis: set it, or allow the embedded one with --allow-embedded")
	}
}

// listenAddr is LISTEN_ADDR, else every interface at PORT, else the default.
func (p *problems) listenAddr(addr, port string) string {
	addr, port = strings.TrimSpace(addr), strings.TrimSpace(port)
	switch {
	case addr != "":
		p.addr("LISTEN_ADDR", addr)
		return addr
	case port != "":
		if !isPort(port) {
			p.add("PORT is %q, which is no port: write a number from 0 to 65535", port)
		}
		return net.JoinHostPort("", port)
	default:
		return defaultListenAddr
	}
}
