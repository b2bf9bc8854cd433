package config

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
)

// webURL returns an http or https URL without a slash at its end; empty stays
// empty.
func (p *problems) webURL(name, text string) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil || !isWeb(u) || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		p.add("%s is not a web address: write for example https://builds.example.com, without a user, a query or a fragment", name)
		return ""
	}
	return strings.TrimRight(text, "/")
}

func (p *problems) slackAPIURL(text string) string {
	text = cmp.Or(strings.TrimSpace(text), defaultSlackAPIURL)
	u, err := url.Parse(text)
	if err != nil || !isWeb(u) || u.RawQuery != "" || u.Fragment != "" || !strings.HasSuffix(u.Path, "/api/") {
		p.add("SLACK_API_URL is not Slack's API: write a web address that ends in /api/, for example %s", defaultSlackAPIURL)
	}
	return text
}

func isWeb(u *url.URL) bool {
	return (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// postgresURL checks a database URL. What is wrong with it is not quoted, nor
// the cause: both may show a password.
func (p *problems) postgresURL(name string, s Secret) {
	if s == "" || s.masked() {
		return
	}
	if !hasScheme(s, "postgres", "postgresql") {
		p.add("%s is not a PostgreSQL URL: write postgres://USER:PASSWORD@HOST:5432/DATABASE", name)
		return
	}
	if u, err := url.Parse(s.Value()); err != nil || u.Fragment != "" {
		p.add("%s cannot be read as a URL: percent-encode what is special in its password, such as / or @ or #", name)
	}
}

// redisURL checks the URL of a Redis, of a cluster's nodes or of sentinels.
// What is wrong with it is not quoted, as above.
func (p *problems) redisURL(s Secret) {
	if s == "" || s.masked() {
		return
	}
	if !hasScheme(s, "redis", "rediss", "redis+sentinel", "rediss+sentinel") {
		p.add("REDIS_URL is not a Redis URL: write redis://HOST:6379, rediss:// for TLS, redis://HOST:6379,HOST:6379 for a cluster, or redis+sentinel://HOST:26379/MASTER")
		return
	}
	u, err := url.Parse(s.Value())
	if err != nil || u.Fragment != "" {
		p.add("REDIS_URL cannot be read as a URL: percent-encode what is special in its password, such as / or @ or #")
		return
	}
	hosts, path := strings.Split(u.Host, ","), strings.Trim(u.Path, "/")
	switch {
	case slices.Contains(hosts, ""):
		p.add("REDIS_URL lacks a host: write redis://HOST:6379, with a comma between the hosts of a cluster")
	case strings.HasSuffix(u.Scheme, "+sentinel"):
		if path == "" || strings.Contains(path, "/") {
			p.add("REDIS_URL names sentinels but no master: write redis+sentinel://HOST:26379/MASTER")
		}
	case len(hosts) > 1 && path != "" && path != "0":
		p.add("REDIS_URL names a database, but a cluster has none but 0: leave the number out")
	}
}

func hasScheme(s Secret, schemes ...string) bool {
	scheme, _, ok := strings.Cut(s.Value(), "://")
	return ok && slices.Contains(schemes, scheme)
}
