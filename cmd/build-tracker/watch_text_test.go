package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

func TestTextFromOutsideBecomesPrintable(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ text, want string }{
		"plain":                {"Fix the login", "Fix the login"},
		"escape sequences":     {"\x1b[2J\x1b]0;title\x07red", "�[2J�]0;title�red"},
		"C1 controls":          {"a\u009b31mb", "a�31mb"},
		"DEL and NUL":          {"a\x7fb\x00c", "a�b�c"},
		"invalid UTF-8":        {"a\xffb", "a�b"},
		"line ends":            {"a\r\nb\u2028c\td", "a  b c d"},
		"turned text":          {"a\u202eb\u2066c", "abc"},
		"invisible":            {"a\u200bb\ufeffc\ue000", "abc�"},
		"other scripts":        {"日本語 naïve ✓", "日本語 naïve ✓"},
		"a tower of marks":     {"e" + strings.Repeat("\u0301", 9) + "a\u0301", "e" + strings.Repeat("\u0301", maxMarks) + "a\u0301"},
		"spaces around":        {" \n a \n", "a"},
		"long":                 {strings.Repeat("ä", maxText+1), strings.Repeat("ä", maxText) + "…"},
		"as long as it may be": {strings.Repeat("ä", maxText), strings.Repeat("ä", maxText)},
	} {
		if diff := cmp.Diff(tc.want, printable(tc.text)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("\x1b[31mred\u009b0m\u202e")
	f.Fuzz(func(t *testing.T, text string) {
		got := printable(text)
		if n := len([]rune(got)); n > maxText+1 {
			t.Errorf("%d characters of %q", n, text)
		}
		for _, r := range got {
			if !unicode.IsPrint(r) {
				t.Errorf("%q has %U in it", got, r)
			}
		}
		if again := printable(got); again != got && len([]rune(got)) <= maxText {
			t.Errorf("%q becomes %q", got, again)
		}
	})
}

func TestJSONForATerminalMeansTheSame(t *testing.T) {
	t.Parallel()
	in := `{"a":"é \u001b 日本 ` + "\x7f\u009b\u202e\u2028" + `"}`
	got := string(harmlessJSON([]byte(in)))
	if want := `{"a":"é \u001b 日本 \u007f\u009b\u202e\u2028"}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	var before, after any
	if err := json.Unmarshal([]byte(in), &before); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(got), &after); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
	if got := string(harmlessJSON([]byte("\"a\xffb\""))); got != `"a\ufffdb"` {
		t.Errorf("invalid UTF-8 becomes %q", got)
	}
}

func TestSpans(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 999 * time.Millisecond: "0s", 12 * time.Second: "12s", 62 * time.Second: "1m02s",
		59*time.Minute + 59*time.Second: "59m59s", time.Hour: "1h00m", 100*time.Hour + time.Minute: "100h01m",
	} {
		if got := span(d); got != want {
			t.Errorf("%d is %s, want %s", d, got, want)
		}
	}
}
