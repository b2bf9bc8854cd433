package config

import (
	"cmp"
	"net/netip"
	"regexp"
	"strings"
	"time"
)

// BuildkiteAPI says how Buildkite's REST API is reached.
type BuildkiteAPI struct {
	// Token is an API access token; empty: nothing is asked.
	Token Secret `key:"buildkite_token"`
	// URL is http or https, without a slash at its end.
	URL string `key:"buildkite_api_url"`
}

// BuildkiteAPIFlags say how Buildkite's REST API is reached.
type BuildkiteAPIFlags struct {
	BuildkiteToken     Secret `name:"buildkite-token" env:"BUILDKITE_TOKEN" placeholder:"TOKEN" group:"Buildkite" help:"API access token of Buildkite, with read_builds and read_pipelines; write_builds for the metrics pipeline."`
	BuildkiteTokenFile string `name:"buildkite-token-file" env:"BUILDKITE_TOKEN_FILE" placeholder:"FILE" group:"Buildkite" help:"File that holds that token."`
	BuildkiteAPIURL    string `name:"buildkite-api-url" env:"BUILDKITE_API_URL" default:"https://api.buildkite.com" placeholder:"https://api.buildkite.com" group:"Buildkite" help:"Buildkite's REST API; ends before /v2/."`
}

// MetricsPipeline is triggered after each finished build. The zero is none.
type MetricsPipeline struct {
	// Organization and Pipeline are its slugs.
	Organization, Pipeline string
	// Branch and Commit are what it builds.
	Branch, Commit string
	// EnvPrefix begins the names of the variables that tell of the finished build.
	EnvPrefix string
}

// On says whether there is one.
func (m MetricsPipeline) On() bool { return m.Pipeline != "" }

// MetricsPipelineFlags name the pipeline that is triggered after each build.
type MetricsPipelineFlags struct {
	MetricsPipeline          string `name:"metrics-pipeline" env:"METRICS_PIPELINE" placeholder:"ORG/PIPELINE" group:"Buildkite" help:"Pipeline to trigger after each finished build."`
	MetricsPipelineBranch    string `name:"metrics-pipeline-branch" env:"METRICS_PIPELINE_BRANCH" default:"main" placeholder:"main" group:"Buildkite" help:"Branch that it builds."`
	MetricsPipelineCommit    string `name:"metrics-pipeline-commit" env:"METRICS_PIPELINE_COMMIT" default:"HEAD" placeholder:"HEAD" group:"Buildkite" help:"Commit that it builds."`
	MetricsPipelineEnvPrefix string `name:"metrics-pipeline-env-prefix" env:"METRICS_PIPELINE_ENV_PREFIX" default:"TRIGGERED_FROM_BUILD_" placeholder:"TRIGGERED_FROM_BUILD_" group:"Buildkite" help:"What the names of the variables begin with that tell it of the finished build."`
}

// Reconcile says how webhooks that were lost are found.
type Reconcile struct {
	// Interval is from one look to the next.
	Interval time.Duration `key:"reconcile_interval"`
	// Organizations are looked at; none: those that deliveries came from.
	Organizations []string `key:"reconcile_organizations"`
}

// ReconcileFlags say how webhooks that were lost are found.
type ReconcileFlags struct {
	ReconcileInterval      Duration `name:"reconcile-interval" env:"RECONCILE_INTERVAL" default:"10m" placeholder:"10m" group:"Buildkite" help:"How often Buildkite is asked for builds that webhooks did not tell of, where there is a token for its API."`
	ReconcileOrganizations string   `name:"reconcile-organizations" env:"RECONCILE_ORGANIZATIONS" placeholder:"ORG,…" group:"Buildkite" help:"Organizations to ask for. Without it: those that webhooks came from."`
}

// Sources says from where deliveries are taken.
type Sources struct {
	// Auto: from the addresses that Buildkite says it sends from.
	Auto bool
	// Prefixes are taken besides; with neither, deliveries are taken from anywhere.
	Prefixes []netip.Prefix
}

// On says whether a delivery's source counts.
func (s Sources) On() bool { return s.Auto || len(s.Prefixes) > 0 }

// SourceFlags say from where deliveries are taken.
type SourceFlags struct {
	WebhookIPs     string `name:"buildkite-webhook-ips" env:"BUILDKITE_WEBHOOK_IPS" placeholder:"auto" group:"Access" help:"Take deliveries from these addresses or networks only; auto is those that Buildkite says it sends from."`
	TrustedProxies string `name:"trusted-proxies" env:"TRUSTED_PROXIES" placeholder:"NETWORK,…" group:"Access" help:"Addresses or networks of proxies whose X-Forwarded-For is believed."`
}

const (
	defaultBuildkiteAPIURL   = "https://api.buildkite.com"
	defaultMetricsBranch     = "main"
	defaultMetricsCommit     = "HEAD"
	defaultMetricsEnvPrefix  = "TRIGGERED_FROM_BUILD_"
	defaultReconcileInterval = "10m"
)

func (p *problems) buildkiteAPI(f BuildkiteAPIFlags) BuildkiteAPI {
	return BuildkiteAPI{
		Token: p.secret("BUILDKITE_TOKEN", f.BuildkiteToken, f.BuildkiteTokenFile),
		URL:   p.webURL("BUILDKITE_API_URL", cmp.Or(strings.TrimSpace(f.BuildkiteAPIURL), defaultBuildkiteAPIURL)),
	}
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,99}$`)

func (p *problems) metricsPipeline(f MetricsPipelineFlags) MetricsPipeline {
	m := MetricsPipeline{
		Branch:    cmp.Or(strings.TrimSpace(f.MetricsPipelineBranch), defaultMetricsBranch),
		Commit:    cmp.Or(strings.TrimSpace(f.MetricsPipelineCommit), defaultMetricsCommit),
		EnvPrefix: cmp.Or(strings.TrimSpace(f.MetricsPipelineEnvPrefix), defaultMetricsEnvPrefix),
	}
	if !envName.MatchString(m.EnvPrefix) {
		p.add("METRICS_PIPELINE_ENV_PREFIX is %q: write letters, digits and _, such as %s", m.EnvPrefix, defaultMetricsEnvPrefix)
	}
	if strings.HasPrefix(strings.ToUpper(m.EnvPrefix), "BUILDKITE") {
		p.add("METRICS_PIPELINE_ENV_PREFIX is %q, but Buildkite keeps names that begin with BUILDKITE for itself: write another, such as %s", m.EnvPrefix, defaultMetricsEnvPrefix)
	}
	text := strings.TrimSpace(f.MetricsPipeline)
	if text == "" {
		return m
	}
	m.Organization, m.Pipeline = p.pipelineName("METRICS_PIPELINE", text)
	return m
}

// pipelineName takes ORG/PIPELINE apart.
func (p *problems) pipelineName(name, text string) (organization, pipeline string) {
	organization, pipeline, _ = strings.Cut(text, "/")
	if organization == "" || pipeline == "" || strings.Contains(pipeline, "/") {
		p.add("%s is %q: write ORG/PIPELINE, such as acme/web", name, text)
		return "", ""
	}
	return organization, pipeline
}

func (p *problems) reconcile(f ReconcileFlags) Reconcile {
	return Reconcile{
		Interval:      p.duration("RECONCILE_INTERVAL", string(f.ReconcileInterval), defaultReconcileInterval),
		Organizations: p.list("RECONCILE_ORGANIZATIONS", f.ReconcileOrganizations),
	}
}

func (p *problems) sources(f SourceFlags, api BuildkiteAPI) (from Sources, proxies []netip.Prefix) {
	var own []string
	for _, entry := range p.list("BUILDKITE_WEBHOOK_IPS", f.WebhookIPs) {
		if strings.EqualFold(entry, "auto") {
			from.Auto = true
		} else {
			own = append(own, entry)
		}
	}
	from.Prefixes = p.prefixes("BUILDKITE_WEBHOOK_IPS", own)
	if from.Auto && api.Token == "" {
		p.add("BUILDKITE_WEBHOOK_IPS is auto, but BUILDKITE_TOKEN is not set: set it, for Buildkite tells its addresses to who has a token only, or list them")
	}
	return from, p.prefixes("TRUSTED_PROXIES", p.list("TRUSTED_PROXIES", f.TrustedProxies))
}

// list returns the entries of a comma-separated list.
func (p *problems) list(name, text string) []string {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	var entries []string
	for i, entry := range strings.Split(text, ",") {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			p.add("%s has an empty entry, number %d of its list: remove the comma too many", name, i+1)
			continue
		}
		entries = append(entries, entry)
	}
	return entries
}

// prefixes takes addresses and networks.
func (p *problems) prefixes(name string, entries []string) []netip.Prefix {
	var out []netip.Prefix
	for _, entry := range entries {
		prefix, err := netip.ParsePrefix(entry)
		if addr, alone := netip.ParseAddr(entry); alone == nil {
			prefix, err = netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
		}
		if err != nil {
			p.add("%s has the entry %q, which is no address: write for example 192.0.2.7 or 192.0.2.0/24", name, entry)
			continue
		}
		out = append(out, prefix.Masked())
	}
	return out
}
