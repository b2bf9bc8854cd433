package config

import (
	"cmp"
	"strings"
)

// Config returns how to rebuild: on the stores themselves, and through a server
// that holds them. What is the server's alone is zero in the first.
func (f RebuildFlags) Config() (*Config, *Client, error) {
	p := settle(&f, f.FileFlags)
	c := &Config{}
	p.stores(c, f.StoreFlags)
	c.MetricsPipeline = p.metricsPipeline(f.MetricsPipelineFlags)
	p.notices(c, f.NoticeFlags)
	p.log(c, f.LogFlags)
	client := p.client(f.ClientFlags)
	return c, client, p.err()
}

// Config returns the configuration of a migration: what is the server's alone is
// zero.
func (f MigrateFlags) Config() (*Config, error) {
	p := settle(&f, f.FileFlags)
	c := &Config{}
	p.stores(c, f.StoreFlags)
	p.log(c, f.LogFlags)
	return c, p.err()
}

func (p *problems) client(f ClientFlags) *Client {
	return &Client{
		URL:   p.webURL("BUILDTRACKER_URL", cmp.Or(strings.TrimSpace(f.URL), defaultURL)),
		Named: p.layers != nil && p.layers.origins["url"].layer == fromFlag,
		Token: p.secret("BUILDTRACKER_TOKEN", f.Token, f.TokenFile),
	}
}
