package notify

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// maxURL is Slack's limit for the URL of a button, in characters.
const maxURL = 3000

// webURL returns an https URL from a payload, re-encoded, without credentials;
// empty for anything else.
func webURL(raw string) string {
	if len(raw) > maxURL {
		return ""
	}
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil || u.Scheme != "https" || u.Opaque != "" || !plainHost.MatchString(u.Host) {
		return ""
	}
	u.User = nil
	encoded := encodeRest(u.String())
	if len(encoded) > maxURL {
		return ""
	}
	return encoded
}

// plainHost takes ASCII names with an optional port. A host that mixes scripts
// is no link.
var plainHost = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$`)

// encodeRest percent-encodes every byte that RFC 3986 does not allow in a URL:
// net/url leaves a query as it came.
func encodeRest(s string) string {
	var out strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9',
			strings.IndexByte("-._~:/?#[]@!$&'()*+,;=%", c) >= 0:
			out.WriteByte(c)
		default:
			fmt.Fprintf(&out, "%%%02X", c)
		}
	}
	return out.String()
}

// link returns mrkdwn for a link to what webURL returned; empty where there is
// no URL or it is too long for a line. The label is mrkdwn already.
func link(url, label string) string {
	target := entities.Replace(url)
	if url == "" || len(target) > maxInlineURL {
		return ""
	}
	return "<" + target + "|" + label + ">"
}

var (
	// scpLike is git's short form of an SSH address: [user@]host:path.
	scpLike    = regexp.MustCompile(`^(?:[^/@:]+@)?([A-Za-z0-9.-]+):([^/].*)$`)
	commitHash = regexp.MustCompile(`^[0-9a-fA-F]{7,64}$`)
)

// commitURL returns the page of a commit at GitHub, GitLab or Bitbucket, by the
// repository's git address in any form; empty when it cannot be told.
func commitURL(repository, commit string) string {
	if !commitHash.MatchString(commit) || len(repository) > maxURL {
		return ""
	}
	host, path := splitRepository(repository)
	if !plainHost.MatchString(host) {
		return ""
	}
	path = strings.TrimSuffix(strings.Trim(path, "/"), ".git")
	segments := strings.Split(path, "/")
	if len(segments) < 2 {
		return ""
	}
	for i, s := range segments {
		if s == "" || s == "." || s == ".." {
			return ""
		}
		segments[i] = url.PathEscape(s)
	}
	page := commitPage(host)
	if page == "" {
		return ""
	}
	return webURL("https://" + host + "/" + strings.Join(segments, "/") + page + commit)
}

// splitRepository returns the host, with the port of an https address only, and
// the path, decoded.
func splitRepository(repository string) (host, path string) {
	if !strings.Contains(repository, "://") {
		m := scpLike.FindStringSubmatch(repository)
		if m == nil {
			return "", ""
		}
		return m[1], m[2]
	}
	u, err := url.Parse(repository)
	if err != nil {
		return "", ""
	}
	switch u.Scheme {
	case "https":
		return u.Host, u.Path
	case "ssh", "git", "git+ssh":
		return u.Hostname(), u.Path
	}
	return "", ""
}

// commitPage returns the part of a commit's URL before its hash. A host counts
// for what one of its labels says: github.com, gitlab.example.com.
func commitPage(host string) string {
	name, _, _ := strings.Cut(strings.ToLower(host), ":")
	for label := range strings.SplitSeq(name, ".") {
		switch label {
		case "github":
			return "/commit/"
		case "gitlab":
			return "/-/commit/"
		case "bitbucket":
			return "/commits/"
		}
	}
	return ""
}
