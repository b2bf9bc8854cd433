package notify_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/notify"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestRenderGolden(t *testing.T) {
	t.Parallel()
	second := finished("failed", noon)
	second.Streak = build.Streak{Failures: 2, FirstFailed: 41, LastPassed: 40}
	addJob(second, "j1", "lint", "failed")
	addRetry(second, "j2", "unit tests")

	many := finished("failed", noon)
	for i := range 90 {
		addJob(many, fmt.Sprintf("j%02d", i), fmt.Sprintf(":go: test %d", i), "failed")
	}

	parent := finished("failed", noon)
	addJob(parent, "j1", "package", "failed")
	parent.Borrow("child", build.Child{Pipeline: "deploy", Failed: []build.FailedStep{
		{Name: "deploy: smoke", WebURL: "https://buildkite.com/acme/deploy/builds/7#s"},
		{Name: "docs: links", Uncounted: true},
	}})

	hostile := finished("failed", noon)
	hostile.Message.V = "<!channel> *bold* `code` ~gone~ _it_ snake_case @here & <https://evil.example|click>\u202Etxt\x00\a\r\nsecond line"
	hostile.AuthorName.V, hostile.AuthorEmail.V = "<@U1> & sons", ""
	hostile.PipelineName.V = "web > deploy\nnext"
	hostile.WebURL = "https://user:secret@buildkite.com/acme/we b/builds/42?x=<y>|z"
	addJob(hostile, "j1", "a\n● b - <https://evil.example|logs>", "failed")
	addJob(hostile, "j2", "", "failed")
	hostile.Jobs["j2"].WebURL = "javascript:alert(1)"
	hostile.Repository.V = "ssh://git@gitlab.example.com:2222/acme/<web>.git"

	bare := build.New("b-1", "acme", "web", 1)
	bare.State, bare.Latest = "failed", build.Version{Rank: 11}

	fixed := finished("failed", noon)
	addRetry(fixed, "j1", "flaky")
	apply(fixed, "passed", noon.Add(time.Minute))

	for _, c := range []struct {
		name string
		b    *build.Build
		opts notify.RenderOptions
	}{
		{"second_failure", second, notify.RenderOptions{Mention: "U123ABC"}},
		{"fixed", fixed, notify.RenderOptions{ExternalURL: "https://builds.example.com"}},
		{"canceled", finished("canceled", noon), notify.RenderOptions{}},
		{"ninety_failed", many, notify.RenderOptions{}},
		{"ninety_failed_short", many, notify.RenderOptions{Level: notify.Short}},
		{"ninety_failed_plain", many, notify.RenderOptions{Level: notify.Plain}},
		{"triggered_builds", parent, notify.RenderOptions{}},
		{"hostile", hostile, notify.RenderOptions{Mention: "U1> <!channel"}},
		{"hostile_plain", hostile, notify.RenderOptions{Level: notify.Plain}},
		{"nothing_known", bare, notify.RenderOptions{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := notify.Render(c.b, c.opts)
			checkLimits(t, m)
			golden(t, c.name, m)
		})
	}
}

func golden(t *testing.T, name string, m notify.Message) {
	t.Helper()
	var got bytes.Buffer
	encoder := json.NewEncoder(&got)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(map[string]any{"text": m.Text, "blocks": m.Blocks}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("message differs from %s (-want +got); -update writes it anew:\n%s", path, diff)
	}
}

func TestRenderHeader(t *testing.T) {
	t.Parallel()
	for failures, want := range map[int]string{
		0: "", 1: "", 2: " (2nd failure)", 3: " (:exclamation: 3rd failure)", 4: " (:bangbang: 4th failure)",
		11: " (:bangbang: 11th failure)", 12: " (:bangbang: 12th failure)", 13: " (:bangbang: 13th failure)",
		21: " (:bangbang: 21st failure)", 22: " (:bangbang: 22nd failure)", 23: " (:bangbang: 23rd failure)",
		101: " (:bangbang: 101st failure)", 111: " (:bangbang: 111th failure)", 112: " (:bangbang: 112th failure)",
		1013: " (:bangbang: 1013th failure)",
	} {
		b := finished("failed", noon)
		b.Streak.Failures = failures
		if got := notify.Render(b, notify.RenderOptions{}).Text; got != ":red_circle: Build 42 failed"+want {
			t.Errorf("after %d failures: %q, want %q at the end", failures, got, want)
		}
	}
	fixed := finished("failed", noon)
	fixed.Streak.Failures = 3
	apply(fixed, "passed", noon.Add(time.Minute))
	if got := notify.Render(fixed, notify.RenderOptions{}).Text; got != ":large_green_circle: Build 42 fixed" {
		t.Errorf("fixed: %q", got)
	}
}

func TestHashTellsMessagesApart(t *testing.T) {
	t.Parallel()
	b := finished("failed", noon)
	hash := func(o notify.RenderOptions) string { return string(notify.Render(b, o).Hash()) }
	full := hash(notify.RenderOptions{})
	if again := hash(notify.RenderOptions{}); again != full {
		t.Error("one message has two hashes")
	}
	b.Streak.Failures = 2
	for name, other := range map[string]string{
		"streak":  hash(notify.RenderOptions{}),
		"mention": hash(notify.RenderOptions{Mention: "U123"}),
		"level":   hash(notify.RenderOptions{Level: notify.Short}),
	} {
		if other == full {
			t.Errorf("another %s has the same hash", name)
		}
	}
}

func FuzzRender(f *testing.F) {
	f.Add("web", "<!channel> & co", "https://x.test/?a=1&b=2|c>", "git@github.com:o/r.git", 7)
	f.Add("\u202E", strings.Repeat("&", 5000), strings.Repeat("https://x/&", 400), "https://github.com/a/b", 200)
	f.Add("a\nb", strings.Repeat("🎉", 4000), "https://"+strings.Repeat("a", 2990), "", 5)
	f.Add("*_~`", "\xff\xfe\x00@here", "https://u:p@h/é", "https://tok@gitlab.com/a/b/c.git", 0)
	f.Fuzz(func(t *testing.T, name, text, url, repository string, jobs int) {
		b := finished("failed", noon)
		b.PipelineName.V, b.Message.V, b.AuthorName.V, b.WebURL, b.Repository.V = name, text, text, url, repository
		b.Streak.Failures = jobs
		for i := range min(max(jobs, 0), 12) {
			addJob(b, fmt.Sprint("j", i), text, "failed")
			addRetry(b, fmt.Sprint("r", i), name+text)
		}
		b.Borrow("c", build.Child{Failed: []build.FailedStep{
			{Name: text, WebURL: url, Uncounted: true},
			{Name: name, WebURL: url, Uncounted: true},
			{Name: text, WebURL: url, Uncounted: true},
			{Name: text, WebURL: url, Uncounted: true},
			{Name: text, WebURL: url, Uncounted: true},
			{Name: text, WebURL: url, Uncounted: true},
		}})
		for _, level := range []notify.Level{notify.Full, notify.Short, notify.Plain} {
			checkLimits(t, notify.Render(b, notify.RenderOptions{Level: level, Mention: name, ExternalURL: url}))
		}
	})
}
