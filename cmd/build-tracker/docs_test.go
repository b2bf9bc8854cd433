package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
)

// commands returns the commands by their names, such as "config check".
func commands(t *testing.T) map[string]*kong.Node {
	t.Helper()
	parser, err := kong.New(&cli{}, kong.Vars{"version": ""})
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]*kong.Node)
	for _, leaf := range parser.Model.Leaves(true) {
		found[strings.TrimPrefix(leaf.FullPath(), parser.Model.Name+" ")] = leaf
	}
	return found
}

func TestReadmeListsEveryCommand(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.FromSlash("../../README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Commands\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var got, want []string
	for line := range strings.Lines(section) {
		cell, _, _ := strings.Cut(strings.TrimPrefix(line, "|"), "|")
		for _, m := range regexp.MustCompile("`([a-z ]*[a-z])").FindAllStringSubmatch(cell, -1) {
			if strings.HasPrefix(line, "|") {
				got = append(got, m[1])
			}
		}
	}
	for name := range commands(t) {
		want = append(want, name)
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("commands (-program +README):\n%s", diff)
	}
}

// TestDocumentedCommandLinesAreUnderstood: every command line in the README and
// in docs names a command that there is, with flags that it has.
func TestDocumentedCommandLinesAreUnderstood(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob(filepath.FromSlash("../../docs/*.md"))
	if err != nil {
		t.Fatal(err)
	}
	known := commands(t)
	// Behind nothing, variables, or a pipe.
	line := regexp.MustCompile(`^(?:.*\| *)?(?:[A-Z_]+=\S+ +)*(?:\./)?build-tracker +([a-z]+)( [a-z]+)?(.*)`)
	checked := 0
	for _, page := range append(pages, filepath.FromSlash("../../README.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, code := range codeOf(string(text)) {
			m := line.FindStringSubmatch(code)
			if m == nil {
				continue
			}
			checked++
			node := known[m[1]]
			if node == nil {
				node = known[m[1]+m[2]]
			}
			if node == nil {
				t.Errorf("%s says %q, and there is no such command", page, code)
				continue
			}
			for word := range strings.FieldsSeq(m[3]) {
				name, isFlag := strings.CutPrefix(word, "--")
				name, _, _ = strings.Cut(name, "=")
				if isFlag && !hasFlag(node, name) {
					t.Errorf("%s says %q, and there is no flag --%s", page, code, name)
				}
			}
		}
	}
	if checked < 10 {
		t.Errorf("only %d command lines were found", checked)
	}
}

// codeOf returns the lines of the fenced blocks of a Markdown text, and what is
// in backticks outside of them.
func codeOf(text string) []string {
	var code []string
	span := regexp.MustCompile("`([^`\n]+)`")
	for i, part := range strings.Split(text, "```") {
		if i%2 == 1 {
			code = append(code, strings.Split(part, "\n")...)
			continue
		}
		for _, m := range span.FindAllStringSubmatch(part, -1) {
			code = append(code, m[1])
		}
	}
	return code
}

func hasFlag(node *kong.Node, name string) bool {
	return slices.ContainsFunc(node.AllFlags(true), func(group []*kong.Flag) bool {
		return slices.ContainsFunc(group, func(f *kong.Flag) bool { return f.Name == name })
	})
}
