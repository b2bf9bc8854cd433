package config

import (
	"cmp"
	"strings"
	"time"
)

// Backfill says which builds are fetched.
type Backfill struct {
	// Organization is a slug; so is Pipeline, which is empty for all.
	Organization, Pipeline string
	// Since and Until bound when a build finished. A zero Until does not.
	Since, Until time.Time
}

// BackfillFlags are the flags of a backfill: it works on the stores, or has the
// running server that holds them do it.
type BackfillFlags struct {
	FileFlags

	Organization string `name:"org" env:"BUILDTRACKER_BACKFILL_ORG" placeholder:"ORG" group:"Builds" help:"Organization whose builds are fetched, a slug."`
	Pipeline     string `name:"pipeline" env:"BUILDTRACKER_BACKFILL_PIPELINE" placeholder:"PIPELINE" group:"Builds" help:"Pipeline, a slug or ORG/PIPELINE. Without it: all of the organization's."`
	Since        string `name:"since" env:"BUILDTRACKER_BACKFILL_SINCE" default:"24h" placeholder:"24h" group:"Builds" help:"Fetch builds that finished since then: an age, such as 36h or 7d, a day, such as 2026-01-05, or a time, such as 2026-01-05T09:30:00Z. Days are UTC."`
	Until        string `name:"until" env:"BUILDTRACKER_BACKFILL_UNTIL" placeholder:"TIME" group:"Builds" help:"And that finished until then, written alike. Without it: until now."`

	BuildkiteAPIFlags
	MetricsPipelineFlags
	StoreFlags
	NoticeFlags
	ClientFlags
	LogFlags
}

// Config returns what to fetch, and how: on the stores themselves, and through a
// server that holds them. Ages count back from now.
func (f BackfillFlags) Config(now time.Time) (*Backfill, *Config, *Client, error) {
	p := settle(&f, f.FileFlags)
	c := &Config{Live: p.layers.file.live, BuildkiteAPI: p.buildkiteAPI(f.BuildkiteAPIFlags)}
	c.MetricsPipeline = p.metricsPipeline(f.MetricsPipelineFlags)
	p.stores(c, f.StoreFlags)
	p.notices(c, f.NoticeFlags)
	p.log(c, f.LogFlags)
	client := p.client(f.ClientFlags)
	b := p.backfill(f, now)
	return b, c, client, p.err()
}

func (p *problems) backfill(f BackfillFlags, now time.Time) *Backfill {
	b := &Backfill{Organization: strings.TrimSpace(f.Organization), Pipeline: strings.TrimSpace(f.Pipeline)}
	if strings.Contains(b.Pipeline, "/") {
		organization, pipeline := p.pipelineName("BUILDTRACKER_BACKFILL_PIPELINE", b.Pipeline)
		if b.Organization != "" && organization != "" && organization != b.Organization {
			p.add("BUILDTRACKER_BACKFILL_PIPELINE is of the organization %s, but BUILDTRACKER_BACKFILL_ORG is %s: name one of them", organization, b.Organization)
		}
		b.Organization, b.Pipeline = cmp.Or(b.Organization, organization), pipeline
	} else if b.Organization == "" {
		p.add("BUILDTRACKER_BACKFILL_ORG is not set: name the organization with --org, or with --pipeline=ORG/PIPELINE")
	}
	if strings.Contains(b.Organization, "/") {
		p.add("BUILDTRACKER_BACKFILL_ORG is %q: write the organization's slug alone, such as acme", b.Organization)
	}
	b.Since = p.moment("BUILDTRACKER_BACKFILL_SINCE", cmp.Or(strings.TrimSpace(f.Since), "24h"), now)
	if text := strings.TrimSpace(f.Until); text != "" {
		b.Until = p.moment("BUILDTRACKER_BACKFILL_UNTIL", text, now)
		if !b.Until.After(b.Since) {
			p.add("BUILDTRACKER_BACKFILL_UNTIL is %q, which is not after BUILDTRACKER_BACKFILL_SINCE: write a later one", text)
		}
	}
	return b
}

// moment is ParseTime of a variable.
func (p *problems) moment(name, text string, now time.Time) time.Time {
	t, err := ParseTime(text, now)
	if err != nil {
		p.add("%s is %q: write %w", name, text, err)
		return now
	}
	return t
}
