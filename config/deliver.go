package config

import (
	"math"
	"strconv"
	"strings"
)

// Deliver says where deliveries are posted, and how they are signed.
type Deliver struct {
	// URL is the server's: http or https, without a slash at its end.
	URL string
	// Token is a bearer token for what stands before the server; empty for none.
	Token Secret
	// WebhookToken signs deliveries; empty leaves them unsigned.
	WebhookToken Secret
}

// DeliverFlags are the flags of a command that posts deliveries.
type DeliverFlags struct {
	ClientFlags
	WebhookToken     Secret `name:"buildkite-webhook-token" env:"BUILDKITE_WEBHOOK_TOKEN" placeholder:"TOKEN,…" group:"Running server" help:"Token that deliveries are signed with, one of the server's. Of several, the first."`
	WebhookTokenFile string `name:"buildkite-webhook-token-file" env:"BUILDKITE_WEBHOOK_TOKEN_FILE" placeholder:"FILE" group:"Running server" help:"File that holds the webhook tokens."`
}

// Send says how recorded deliveries are posted.
type Send struct {
	Deliver
	// Rate is how many a second, above 0; +Inf is as fast as they are taken.
	Rate float64
}

// SendFlags are the flags of a command that posts recorded deliveries.
type SendFlags struct {
	Rate string `name:"rate" env:"BUILDTRACKER_SEND_RATE" default:"0" placeholder:"0" help:"Deliveries a second, such as 10 or 0.5; 0 is as fast as they are taken."`
	DeliverFlags
}

// Config returns where to post to, or an error with all that is wrong with it.
func (f DeliverFlags) Config() (*Deliver, error) {
	var p problems
	return p.deliver(f), p.err()
}

func (p *problems) deliver(f DeliverFlags) *Deliver {
	client := p.client(f.ClientFlags)
	d := &Deliver{URL: client.URL, Token: client.Token}
	// While tokens rotate the server takes each of them.
	if tokens := p.tokens("BUILDKITE_WEBHOOK_TOKEN", f.WebhookToken, f.WebhookTokenFile); len(tokens) > 0 {
		d.WebhookToken = tokens[0]
	}
	return d
}

// Config returns how to send, or an error with all that is wrong with it.
func (f SendFlags) Config() (*Send, error) {
	var p problems
	return &Send{Deliver: *p.deliver(f.DeliverFlags), Rate: p.rate("BUILDTRACKER_SEND_RATE", f.Rate)}, p.err()
}

// rate returns a number a second; blank and 0 are no limit.
func (p *problems) rate(name, text string) float64 {
	text = strings.TrimSpace(text)
	if text == "" {
		return math.Inf(1)
	}
	rate, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil || math.IsNaN(rate) || math.IsInf(rate, 0) || rate < 0:
		p.add("%s is %q: write how many a second, such as 10 or 0.5, or 0 for no limit", name, text)
	case rate == 0:
		return math.Inf(1)
	}
	return rate
}
