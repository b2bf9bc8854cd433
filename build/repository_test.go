package build

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPagesAreFoundByAnyFormOfAddress(t *testing.T) {
	t.Parallel()
	const hash = "0123456789abcdef"
	for in, want := range map[string]string{
		"git@github.com:o/r.git":                                          "https://github.com/o/r/commit/" + hash,
		"github.com:o/r":                                                  "https://github.com/o/r/commit/" + hash,
		"ssh://git@github.com/o/r.git":                                    "https://github.com/o/r/commit/" + hash,
		"ssh://git@github.example.com:2222/o/r.git":                       "https://github.example.com/o/r/commit/" + hash,
		"git://github.com/o/r.git":                                        "https://github.com/o/r/commit/" + hash,
		"https://github.com/o/r":                                          "https://github.com/o/r/commit/" + hash,
		"https://user:secret@github.com/o/r.git/":                         "https://github.com/o/r/commit/" + hash,
		"https://gitlab.example.com:8443/g/s/r.git":                       "https://gitlab.example.com:8443/g/s/r/-/commit/" + hash,
		"git@bitbucket.org:o/r.git":                                       "https://bitbucket.org/o/r/commits/" + hash,
		"git@github.com:o/<r>.git":                                        "https://github.com/o/%3Cr%3E/commit/" + hash,
		"git@github.com:o/../r.git":                                       "",
		"git@github.com:r.git":                                            "",
		"http://github.com/o/r":                                           "",
		"https://git.example.com/o/r":                                     "",
		"https://notgithub.com/o/r":                                       "",
		"https://github.com/" + strings.Repeat("o", maxRepository) + "/r": "",
		"file:///srv/r.git":                                               "",
		"/srv/github/r.git":                                               "",
		"":                                                                "",
	} {
		if got := PagesOf(in).Commit(hash); got != want {
			t.Errorf("the commit in %.60q is at %q, want %q", in, got, want)
		}
	}
}

func TestPagesOfASite(t *testing.T) {
	t.Parallel()
	type pages struct{ Commit, Branch, PullRequest string }
	for repository, want := range map[string]pages{
		"git@github.com:o/r.git":      {"https://github.com/o/r/commit/0123456", "https://github.com/o/r/tree/feat/x%231", "https://github.com/o/r/pull/12"},
		"git@gitlab.com:o/r.git":      {"https://gitlab.com/o/r/-/commit/0123456", "https://gitlab.com/o/r/-/tree/feat/x%231", "https://gitlab.com/o/r/-/merge_requests/12"},
		"git@bitbucket.org:o/r.git":   {"https://bitbucket.org/o/r/commits/0123456", "https://bitbucket.org/o/r/branch/feat/x%231", "https://bitbucket.org/o/r/pull-requests/12"},
		"https://git.example.com/o/r": {},
	} {
		p := PagesOf(repository)
		got := pages{p.Commit("0123456"), p.Branch("feat/x#1"), p.PullRequest("12")}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", repository, diff)
		}
	}
}

func TestWhatIsNoNameHasNoPage(t *testing.T) {
	t.Parallel()
	p := PagesOf("git@github.com:o/r.git")
	for _, commit := range []string{"HEAD", "", "abc", "main;rm", strings.Repeat("a", 65)} {
		if got := p.Commit(commit); got != "" {
			t.Errorf("commit %q is at %q", commit, got)
		}
	}
	for _, branch := range []string{"", "/", "a//b", "../../x", "a/.."} {
		if got := p.Branch(branch); got != "" {
			t.Errorf("branch %q is at %q", branch, got)
		}
	}
	for _, number := range []string{"", "x", "1/../2", "false", strings.Repeat("1", 20)} {
		if got := p.PullRequest(number); got != "" {
			t.Errorf("pull request %q is at %q", number, got)
		}
	}
}
