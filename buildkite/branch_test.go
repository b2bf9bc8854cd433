package buildkite

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBranchIsThatOfTheBuild(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ data, want string }{
		"a build's event": {`{"event":"build.running","build":{"id":"b","branch":"main","author":{"branch":"no"}},"pipeline":{"branch":"no"}}`, "main"},
		"behind others":   {` {"event":"job.finished","job":{"branch":"no","build":{"branch":"no"}}, "build" : {"jobs":[{"branch":"no"}],"branch":"a\u002fb"}}`, "a/b"},
		"none":            {`{"build":{"id":"b"},"pipeline":{"branch":"no"}}`, ""},
		"no text":         {`{"build":{"branch":7}}`, ""},
		"no build":        {`{"agent":{"branch":"no"}}`, ""},
		"another form":    {`{"build":["branch"]}`, ""},
		"no object":       {`["build"]`, ""},
		"nothing":         {``, ""},
		"cut off":         {`{"build":{"id":"b","bra`, ""},
	} {
		if got := Branch([]byte(tc.data)); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestBranchIsTheOneOfFacts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		facts, err := Facts(data)
		if err != nil {
			continue // of no build
		}
		if got := Branch(data); got != facts.Build.Branch || strings.TrimSpace(got) == "" {
			t.Errorf("%s: %q, want %q", file, got, facts.Build.Branch)
		}
	}
}
