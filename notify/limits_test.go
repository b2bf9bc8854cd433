package notify_test

import (
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/build-tracker/build-tracker/notify"
)

// checkLimits holds a message to Slack's limits and to what a text from a
// payload must not do, by its JSON.
func checkLimits(t *testing.T, m notify.Message) {
	t.Helper()
	checkMarkdown(t, m.Text, 3000)
	raw, err := json.Marshal(m.Blocks)
	if err != nil {
		t.Fatal(err)
	}
	type text struct {
		Type, Text string
		Verbatim   bool
	}
	var blocks []struct {
		Type     string
		Text     *text
		Fields   []text
		Elements []struct {
			Text text
			URL  string
		}
	}
	if err := json.Unmarshal(raw, &blocks); err != nil {
		t.Fatal(err)
	}
	if len(blocks) > 50 {
		t.Errorf("%d blocks", len(blocks))
	}
	total := 0
	for _, b := range blocks {
		limits := map[string]int{"header": 150, "section": 3000}
		if b.Text != nil {
			total += units(b.Text.Text)
			checkMarkdown(t, b.Text.Text, limits[b.Type])
			if b.Text.Type == "mrkdwn" && !b.Text.Verbatim {
				t.Errorf("Slack may link and mention what it finds in %q", b.Text.Text)
			}
		}
		for _, f := range b.Fields {
			total += units(f.Text)
			checkMarkdown(t, f.Text, 2000)
		}
		for _, e := range b.Elements {
			total += units(e.Text.Text)
			checkURL(t, e.URL)
			if n := units(e.Text.Text); n > 75 || units(e.URL) > 3000 {
				t.Errorf("button of %d with a URL of %d characters", n, units(e.URL))
			}
		}
	}
	if total >= 13000 {
		t.Errorf("%d characters in all", total)
	}
}

var (
	entity    = regexp.MustCompile(`&(amp|lt|gt);`)
	linked    = regexp.MustCompile(`<(https://[^<>|\s]+)\|[^<>|]*[^<>]*>|<@[UW][A-Z0-9]+>`)
	formatted = regexp.MustCompile("[*~`]")
	ours      = strings.NewReplacer("*Failed jobs:*", "", "*Failed as well, not counted:*", "", "*Fixed jobs:*", "", "*Author:*", "", "*Pipeline:*", "")
)

// checkMarkdown: what is left without our own links and titles is plain text.
func checkMarkdown(t *testing.T, s string, limit int) {
	t.Helper()
	if n := units(s); n < 1 || n > limit {
		t.Errorf("%d characters, limit %d: %.80q", n, limit, s)
	}
	if !utf8.ValidString(s) {
		t.Errorf("invalid UTF-8: %q", s)
	}
	for _, l := range linked.FindAllStringSubmatch(s, -1) {
		if l[1] != "" {
			checkURL(t, strings.ReplaceAll(l[1], "&amp;", "&"))
		}
	}
	rest := ours.Replace(linked.ReplaceAllString(s, ""))
	if strings.ContainsAny(rest, "<>") || strings.Contains(entity.ReplaceAllString(rest, ""), "&") {
		t.Errorf("not escaped: %q", s)
	}
	if formatted.MatchString(rest) {
		t.Errorf("formats: %q", s)
	}
	for _, word := range []string{"@here", "@channel", "@everyone"} {
		if strings.Contains(strings.ToLower(rest), word) {
			t.Errorf("mentions everybody: %q", s)
		}
	}
	for _, r := range rest {
		if r != '\n' && (unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r >= '\u202A' && r <= '\u202E' || r >= '\u2066' && r <= '\u2069') {
			t.Errorf("control character %U: %q", r, s)
		}
	}
}

func checkURL(t *testing.T, s string) {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || strings.ContainsAny(s, "<>|\" \\^`{}") {
		t.Errorf("URL %q (%v)", s, err)
	}
}

func units(s string) int { return len(utf16.Encode([]rune(s))) }
