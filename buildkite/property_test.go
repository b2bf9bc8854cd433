package buildkite

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// anyJSON draws JSON text made of what the rules are about, with escapes,
// white space and duplicates.
func anyJSON(t *rapid.T, depth int) string {
	space := rapid.SampledFrom([]string{"", "", "", " ", "\n\t"})
	kinds := 4
	if depth == 0 {
		kinds = 2
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return rapid.SampledFrom([]string{"null", "true", "0", "-1.5e3", "7", `""`, `"b"`, `"ping"`, `"build.finished"`}).Draw(t, "scalar")
	case 1:
		return anyString(t)
	case 2:
		var list []string
		for range rapid.IntRange(0, 3).Draw(t, "elements") {
			list = append(list, space.Draw(t, "space")+anyJSON(t, depth-1)+space.Draw(t, "space"))
		}
		return "[" + strings.Join(list, ",") + space.Draw(t, "space") + "]"
	default:
		var members []string
		for range rapid.IntRange(0, 4).Draw(t, "members") {
			members = append(members, space.Draw(t, "space")+anyName(t)+space.Draw(t, "space")+":"+space.Draw(t, "space")+anyJSON(t, depth-1))
		}
		return "{" + strings.Join(members, space.Draw(t, "space")+",") + space.Draw(t, "space") + "}"
	}
}

func anyName(t *rapid.T) string {
	if rapid.IntRange(0, 9).Draw(t, "odd name") == 0 {
		return anyString(t)
	}
	return rapid.SampledFrom([]string{
		`"env"`, `"\u0065nv"`, `"configuration"`, `"webhook_url"`, `"RELEASE_PUBLIC"`, `"A"`, `"agent"`, `"pipeline"`, `"build"`,
		`"job"`, `"sender"`, `"event"`, `"id"`, `"number"`, `"slug"`, `"url"`, `"web_url"`, `"organization"`, `"a_count"`,
		`"connection_state"`, `"lost_at"`, `"state"`, `"author"`, `"name"`,
	}).Draw(t, "name")
}

func anyString(t *rapid.T) string {
	var b strings.Builder
	for range rapid.IntRange(0, 7).Draw(t, "pieces") {
		b.WriteString(rapid.SampledFrom([]string{
			"https://", `https:\/\/`, `\u003a//`, "u", ":", "p", "@", `\u0040`, "host", "/", "?", "token=", "&", "sig\\u003d", "#", " ", "=", "A",
			`\n`, `\"`, `\\`, `\ud83d\ude00`, `\ud800`, `\u0000`, "é", "\xff", "RELEASE_PUBLIC=", "12345678", "/organizations/o/",
		}).Draw(t, "piece"))
	}
	return `"` + b.String() + `"`
}

func TestRedactingAnything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		body := anyJSON(rt, 5)
		got, err := redacted(body, Options{})
		if err != nil {
			rt.Fatalf("%v: %q", err, body)
		}
		if diff := cmp.Diff(plainly(decode(t, []byte(body)), false), decode(t, []byte(got))); diff != "" {
			rt.Fatalf("%q\n%q\n%s", body, got, diff)
		}
		if again, _ := redacted(got, Options{}); again != got {
			rt.Fatalf("%q\n%q\na second time %q", body, got, again)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, []byte(got)); err != nil || compact.String() != got {
			rt.Fatalf("not compact: %q", got)
		}
	})
}

// The key does not depend on the layout, and is that of the payload without
// what varies.
func TestKeyOfAnything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		body := fmt.Sprintf(`{"a":%s,"event":"x",%s:%s,"b":%s,"event":"x"}`, anyJSON(rt, 3), anyName(rt), anyJSON(rt, 4), anyJSON(rt, 3))
		d, err := Parse([]byte(body), Options{})
		if err != nil {
			rt.Skip()
		}
		for _, other := range []string{indent(t, body), strings.Replace(body, "{", `{"sender":{"id":7},`, 1), body[:len(body)-1] + `,"sender":7}`} {
			o, err := Parse([]byte(other), Options{})
			if err != nil {
				rt.Fatalf("%v: %q", err, other)
			}
			if o.Key != d.Key {
				rt.Fatalf("two keys:\n%q\n%q", body, other)
			}
		}
	})
}

func indent(t *testing.T, body string) string {
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(body), "", "  "); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestStoredPayloadsKeepTheirAddress(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		body := fmt.Sprintf(`{"event":"job.finished","job":{"id":"j",%s:%s},"build":{"id":"b","number":7,"url":%s,%s:%s,"web_url":%s},"pipeline":{"slug":"p","url":%s,%s:%s},%s:%s}`,
			anyName(rt), anyJSON(rt, 2), anyString(rt), anyName(rt), anyJSON(rt, 2), anyString(rt), anyString(rt), anyName(rt), anyJSON(rt, 2), anyName(rt), anyJSON(rt, 2))
		checkStored(rt, []byte(body))
	})
}
