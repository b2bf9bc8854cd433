package config

import (
	"bytes"
	"regexp"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzFile holds the reader of files to saying where each problem is, and to
// taking what Show writes of a good one.
func FuzzFile(f *testing.F) {
	for _, text := range []string{
		"", "\uFEFF# nothing\n---\n", "notices: off\r\nport: 0x1F\r\n", "listen_addr: |\n  a\n  b\n", "a: &x [*x]\n<<: {}\n? b\n: !!c d\n%e",
		"teams:\n  - {name: web, pipelines: [acme/web, acme/m-*], retention: {events: 30d}}\n  - name: all\n    pipelines:\n    - \"*/*\"\n",
		"retention: {events: 90d, builds: 1w1d, deliveries: -1d}\nenv_keep: [A, B]\n", "slack_token: \"a\\x7f\"\n\tb: c\n", "[[[[[[[[[[", "- - - - -", "\"\"\"",
	} {
		f.Add([]byte(text))
	}
	line := regexp.MustCompile(`^f\.yaml:(\d+):(\d+): \S`)
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<16 {
			return
		}
		doc, err := parseDocument("f.yaml", text)
		if err != nil {
			for _, problem := range Problems(err) {
				m := line.FindStringSubmatch(problem)
				if m == nil {
					t.Fatalf("%q says not where it is", problem)
				}
				if n, err := strconv.Atoi(m[1]); err != nil || n < 1 || n > 2+bytes.Count(text, []byte("\n"))+bytes.Count(text, []byte("\r")) {
					t.Errorf("%q is behind the end", problem)
				}
			}
			return
		}
		again, err := parseDocument("f.yaml", []byte(shown(t, doc)))
		if err != nil {
			t.Fatalf("what is shown is not taken: %v\n%s", err, shown(t, doc))
		}
		if diff := cmp.Diff(doc.live, again.live); diff != "" {
			t.Errorf("what is shown is something else (-read +shown):\n%s", diff)
		}
		for key, s := range doc.settings {
			if again.settings[key].text != s.text {
				t.Errorf("%s is %q, shown %q", key, s.text, again.settings[key].text)
			}
		}
	})
}

// shown returns what Show writes of a document, and of its settings as they are.
func shown(t *testing.T, doc *document) string {
	t.Helper()
	var out bytes.Buffer
	s := shower{&out, &layers{file: doc}}
	s.live()
	for key, setting := range doc.settings {
		out.WriteString(key + ": " + plain(setting.text) + "\n")
	}
	return out.String()
}
