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
