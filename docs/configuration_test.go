package docs_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/config"
)

var update = flag.Bool("update", false, "write the generated parts of documents anew")

const (
	begin = "<!-- What follows is written by `make generate`. -->\n"
	end   = "<!-- End of what is generated. -->\n"
)

func TestConfigurationListsEveryVariable(t *testing.T) {
	t.Parallel()
	text := read(t, "docs/configuration.md")
	head, rest, ok := strings.Cut(text, begin)
	got, tail, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("configuration.md lacks its marks:\n%s%s", begin, end)
	}
	want := variables()
	if *update {
		if err := os.WriteFile("configuration.md", []byte(head+begin+want+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("configuration.md is not what the program reads; `make generate` writes it (-want +got):\n%s", diff)
	}
}

// variables is a table for each group of variables, in the order of --help.
func variables() string {
	all := config.Variables()
	fromFile := func(name string) bool {
		return slices.ContainsFunc(all, func(v config.Variable) bool { return v.Name == name+"_FILE" })
	}
	var out strings.Builder
	title := ""
	for _, v := range all {
		if base, ok := strings.CutSuffix(v.Name, "_FILE"); ok && fromFile(base) {
			continue // told with the secret itself
		}
		if group := heading(v); group != title {
			title = group
			fmt.Fprintf(&out, "\n### %s\n\n| variable | flag | meaning | default | for |\n| --- | --- | --- | --- | --- |\n", title)
		}
		name, fallback, takenBy := "`"+v.Name+"`", "", strings.Join(v.Commands, ", ")
		if fromFile(v.Name) {
			name += ", *secret*"
		}
		if v.Default != "" {
			fallback = "`" + v.Default + "`"
		}
		fmt.Fprintf(&out, "| %s | `--%s` | %s | %s | %s |\n", name, v.Flag, strings.ReplaceAll(v.Help, "|", `\|`), fallback, takenBy)
	}
	return out.String() + "\n"
}

// heading is what the group of a variable is called here, where no command's
// name stands above it.
func heading(v config.Variable) string {
	switch {
	case slices.Contains(v.Commands, "serve") || len(v.Commands) > 1:
		return v.Group
	case v.Group == "":
		return v.Commands[0]
	}
	return v.Commands[0] + ": " + v.Group
}

// Variables that are no flags: of a standard, of Google's libraries, for a check of
// the program, or in Buildkite's builds.
var otherVariables = regexp.MustCompile(`^(OTEL_[A-Z_]+|GOOGLE_APPLICATION_CREDENTIALS|SANITY_CHECK|RELEASE_PUBLIC|RELEASE_INTERNAL|TRIGGERED_FROM_BUILD_ID)$`)

func TestVariablesThatAreMentionedAreRead(t *testing.T) {
	t.Parallel()
	variable := regexp.MustCompile(`\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b`)
	call := regexp.MustCompile(`\b[A-Z_]+\(`) // a function of SQL
	all := config.Variables()
	mentioned := 0
	for where, p := range pages(t) {
		if where == "docs/benchmarks.md" { // of the tests' own
			continue
		}
		for _, name := range variable.FindAllString(call.ReplaceAllString(strings.Join(p.code, "\n"), ""), -1) {
			mentioned++
			known := slices.ContainsFunc(all, func(v config.Variable) bool { return v.Name == name })
			if !known && !otherVariables.MatchString(name) {
				t.Errorf("%s mentions %s, which no command reads", where, name)
			}
		}
	}
	if mentioned < 30 {
		t.Errorf("only %d variables were found", mentioned)
	}
}

// TestVariablesOfTheReadmeAreFlags: those without an underscore, too.
func TestVariablesOfTheReadmeAreFlags(t *testing.T) {
	t.Parallel()
	all := config.Variables()
	names := spans(strings.Join(cells(pages(t)["README.md"].section(t, "Configuration"), 0), " "))
	if len(names) < 10 {
		t.Errorf("the README lists only %d variables", len(names))
	}
	for _, name := range names {
		if !slices.ContainsFunc(all, func(v config.Variable) bool { return v.Name == name }) {
			t.Errorf("the README lists %s, which no command reads", name)
		}
	}
}

func TestExamplesOfTheFileAreGood(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"README.md", "docs/configuration.md"} {
		examples := pages(t)[where].fences["yaml"]
		if len(examples) == 0 {
			t.Errorf("%s has no example", where)
		}
		for _, example := range examples {
			path := filepath.Join(t.TempDir(), "build-tracker.yaml")
			if err := os.WriteFile(path, []byte(example), 0o600); err != nil {
				t.Fatal(err)
			}
			flags := config.ServeFlags{FileFlags: config.FileFlags{ConfigFile: path}}
			if _, err := flags.Check(); err != nil {
				t.Errorf("%s: %v in\n%s", where, err, example)
			}
		}
	}
}
