package build

import (
	"net/url"
	"regexp"
	"strings"
)

// Pages are the web pages of a repository at GitHub, GitLab or Bitbucket. Each URL
// is https, encoded, and without credentials; it is empty where it cannot be told,
// as all of the zero Pages are.
type Pages struct {
	base string // of the repository, without a slash at its end
	site site
}

// site is how a kind of host names its pages, each behind the repository's.
type site struct{ commit, branch, pullRequest string }

// maxRepository bounds an address, in bytes.
const maxRepository = 3000

var (
	// scpLike is git's short form of an SSH address: [user@]host:path.
	scpLike = regexp.MustCompile(`^(?:[^/@:]+@)?([A-Za-z0-9.-]+):([^/].*)$`)
	// plainHost takes ASCII names with an optional port. A host that mixes scripts
	// is no link.
	plainHost   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$`)
	commitHash  = regexp.MustCompile(`^[0-9a-fA-F]{7,64}$`)
	pullRequest = regexp.MustCompile(`^[0-9]{1,19}$`)
)

// PagesOf returns the pages of a repository, by its git address in any form.
func PagesOf(repository string) Pages {
	if len(repository) > maxRepository {
		return Pages{}
	}
	host, path := splitRepository(repository)
	if !plainHost.MatchString(host) {
		return Pages{}
	}
	path, ok := escapePath(strings.TrimSuffix(strings.Trim(path, "/"), ".git"))
	if !ok || !strings.Contains(path, "/") {
		return Pages{}
	}
	return Pages{base: "https://" + host + "/" + path, site: siteOf(host)}
}

// Commit returns the page of a commit, by its hash.
func (p Pages) Commit(hash string) string {
	if p.site == (site{}) || !commitHash.MatchString(hash) {
		return ""
	}
	return p.base + p.site.commit + hash
}

// Branch returns the page of a branch.
func (p Pages) Branch(name string) string {
	escaped, ok := escapePath(name)
	if p.site == (site{}) || !ok {
		return ""
	}
	return p.base + p.site.branch + escaped
}

// PullRequest returns the page of a pull request, by its number.
func (p Pages) PullRequest(number string) string {
	if p.site == (site{}) || !pullRequest.MatchString(number) {
		return ""
	}
	return p.base + p.site.pullRequest + number
}

// escapePath escapes the segments of a path, and takes none that leads elsewhere.
func escapePath(path string) (string, bool) {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if s == "" || s == "." || s == ".." {
			return "", false
		}
		segments[i] = url.PathEscape(s)
	}
	return strings.Join(segments, "/"), true
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

// siteOf takes a host for what one of its labels says: github.com,
// gitlab.example.com.
func siteOf(host string) site {
	name, _, _ := strings.Cut(strings.ToLower(host), ":")
	for label := range strings.SplitSeq(name, ".") {
		switch label {
		case "github":
			return site{"/commit/", "/tree/", "/pull/"}
		case "gitlab":
			return site{"/-/commit/", "/-/tree/", "/-/merge_requests/"}
		case "bitbucket":
			return site{"/commits/", "/branch/", "/pull-requests/"}
		}
	}
	return site{}
}
