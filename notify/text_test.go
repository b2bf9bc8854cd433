package notify

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestInline(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, in string
		limit    int
		want     string
	}{
		{"escapes what Slack asks for", "a <b> & \"c\"", 99, "a &lt;b&gt; &amp; \"c\""},
		{"makes one line", " a\r\n\tb\u2028c\x00d ", 99, "a b c d"},
		{"keeps emoji and their joiners", "👩\u200d💻 :go:", 99, "👩\u200d💻 :go:"},
		{"keeps snake case", "test_unit_race", 99, "test_unit_race"},
		{"sets nothing in italics", "_a_ b", 99, "ˍaˍ b"},
		{"does not turn text around", "abc\u202Edef\u2066", 99, "abcdef"},
		{"calls nobody", "@here @Channel ann@example.com", 99, "@\u2060here @\u2060Channel ann@example.com"},
		{"quotes nothing", "> said", 99, "\u2060&gt; said"},
		{"takes what fits exactly", "abcde", 5, "abcde"},
		{"cuts with an ellipsis", "abcdef", 5, "abcd…"},
		{"cuts no entity", "ab&cd", 6, "ab…"},
		{"keeps an entity that fits with the ellipsis", "a&cd", 7, "a&amp;…"},
		{"counts beyond the basic plane twice", "🎉🎉🎉", 5, "🎉🎉…"},
		{"repairs invalid UTF-8", "a\xffb", 99, "a\uFFFDb"},
	} {
		if got := inline(c.in, c.limit); got != c.want {
			t.Errorf("%s: inline(%q, %d) = %q, want %q", c.name, c.in, c.limit, got, c.want)
		}
	}
}

func TestWebURL(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"https://buildkite.com/a/b/builds/1#x":   "https://buildkite.com/a/b/builds/1#x",
		"https://h.test/?q=<a>|b\"c":             "https://h.test/?q=%3Ca%3E%7Cb%22c",
		"https://h.test/a b/é":                   "https://h.test/a%20b/%C3%A9",
		"https://me:secret@h.test/x":             "https://h.test/x",
		"http://h.test/":                         "",
		"javascript:alert(1)":                    "",
		"https:h.test":                           "",
		"https://":                               "",
		"https://аррӏе.com/":                     "",
		"https://h.test:99999999/":               "",
		"//h.test/":                              "",
		"":                                       "",
		"https://h/" + strings.Repeat("x", 3000): "",
		"https://h/" + strings.Repeat("é", 1000): "",
	} {
		if got := webURL(in); got != want {
			t.Errorf("webURL(%.60q) = %q, want %q", in, got, want)
		}
	}
}

func TestLinkLeavesOutLongURLs(t *testing.T) {
	t.Parallel()
	if got := link("https://h.test/?a&b", "x"); got != "<https://h.test/?a&amp;b|x>" {
		t.Errorf("link = %q", got)
	}
	if got := link("https://h.test/"+strings.Repeat("&", 100), "x"); got != "" {
		t.Errorf("a URL of 515 characters is linked: %q", got)
	}
}

func TestGatesLetOneTryFirst(t *testing.T) {
	t.Parallel()
	g, key, now := newGates(), gateKey{"post", "builds"}, time.Now()
	enter := func(after time.Duration) time.Duration { return g.enter(key, now.Add(after)) }
	if w := enter(0); w != 0 {
		t.Fatalf("an open gate says %v", w)
	}
	g.leave(key, 3*time.Second, now)
	waits := []time.Duration{enter(time.Second), enter(time.Second), g.wait(key, now.Add(time.Second))}
	want := []time.Duration{2*time.Second + gateStep, 2*time.Second + 2*gateStep, 2*time.Second + 3*gateStep}
	if diff := cmp.Diff(want, waits); diff != "" {
		t.Errorf("waits while closed (-want +got):\n%s", diff)
	}
	if w := g.enter(gateKey{"update", "builds"}, now); w != 0 {
		t.Errorf("another method waits %v", w)
	}
	if w := enter(3 * time.Second); w != 0 {
		t.Errorf("the first after the wait is told to wait %v", w)
	}
	if w := enter(3 * time.Second); w == 0 {
		t.Error("a second goes while the first tries")
	}
	g.leave(key, 0, now.Add(4*time.Second))
	for range 2 {
		if w := enter(4 * time.Second); w != 0 {
			t.Errorf("the gate is closed after a success: %v", w)
		}
	}
}

func TestRetriesRememberEach(t *testing.T) {
	t.Parallel()
	var r retries
	now := time.Now()
	for _, s := range []int{5, 3, 9} {
		if earliest := r.add(now.Add(time.Duration(s) * time.Second)); earliest != (s != 9) {
			t.Errorf("add %d s: earliest is %v", s, earliest)
		}
	}
	if d := r.next(now, time.Minute); d != 3*time.Second {
		t.Errorf("next in %v, want 3 s", d)
	}
	r.forget(now.Add(3 * time.Second))
	if d := r.next(now, time.Minute); d != 5*time.Second {
		t.Errorf("next in %v, want 5 s", d)
	}
	if d := r.next(now.Add(7*time.Second), time.Minute); d != 0 {
		t.Errorf("what is past is due in %v", d)
	}
	if d := r.next(now, time.Second); d != time.Second {
		t.Errorf("next in %v, want the sweep's 1 s", d)
	}
	for range 2 * maxRetries {
		r.add(now)
	}
	if len(r.at) > maxRetries {
		t.Errorf("%d times are kept", len(r.at))
	}
}

func TestBackoffDoublesToAMinute(t *testing.T) {
	t.Parallel()
	for failed, want := range map[int]time.Duration{0: 1, 1: 2, 2: 4, 3: 8, 4: 16, 5: 32, 6: 60, 7: 60, 1000: 60, -1: 1} {
		if got := backoff(failed); got < want*time.Second || got > want*time.Second*11/10 {
			t.Errorf("backoff(%d) = %v, want %d s and at most a tenth more", failed, got, want)
		}
	}
}

func TestMentionsAreBoundedAndExpire(t *testing.T) {
	t.Parallel()
	m, now := newMentions(), time.Now()
	for i := range maxMentions + 10 {
		m.put(string(rune('a'+i%26))+strings.Repeat("x", i), "U1", now)
	}
	if m.recent.Len() != maxMentions || len(m.byMail) != maxMentions {
		t.Errorf("%d addresses are kept, %d indexed", m.recent.Len(), len(m.byMail))
	}
	m.put("ann", "", now)
	if id, known := m.get("ann", now.Add(mentionTTL-1)); id != "" || !known {
		t.Errorf("a miss is not remembered: %q %v", id, known)
	}
	if _, known := m.get("ann", now.Add(mentionTTL)); known {
		t.Error("a miss is remembered beyond its time")
	}
	m.pause(now.Add(time.Minute))
	if _, known := m.get("bob", now); !known {
		t.Error("lookups go on while paused")
	}
	if _, known := m.get("bob", now.Add(time.Minute)); known {
		t.Error("lookups stay paused")
	}
}
