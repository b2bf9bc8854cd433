// Package docs_test holds what is written here and in the README to the program.
package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// root is the repository, from this folder.
const root = ".."

// read returns a file, by its path from the root.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// pages returns every Markdown file, by its path from the root.
func pages(t *testing.T) map[string]page {
	t.Helper()
	found := make(map[string]page)
	made := []string{".git", ".bin", "data", "dist"} // not written by anybody
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains(made, path):
			return fs.SkipDir
		case !d.IsDir() && strings.HasSuffix(path, ".md"):
			found[path] = parsePage(read(t, path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 5 || found["README.md"].text == "" {
		t.Fatalf("only %d Markdown files were found", len(found))
	}
	return found
}

// page is a Markdown file in parts.
type page struct {
	text string // all of it
	// prose is without what is in fences; code is that, and what is in backticks.
	prose string
	code  []string
	// fences are the fenced blocks by language, each without its fences.
	fences map[string][]string
	// anchors are what a link may end in, as GitHub makes them.
	anchors []string
}

var (
	span     = regexp.MustCompile("`([^`\n]+)`")
	notSlug  = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
	linkText = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

func parsePage(text string) page {
	p := page{text: text, fences: make(map[string][]string)}
	var prose, fence strings.Builder
	language, fenced := "", false
	for line := range strings.Lines(text) {
		rest, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case isFence && fenced:
			p.fences[language] = append(p.fences[language], fence.String())
			fenced = false
		case isFence:
			language, fenced = rest, true
			fence.Reset()
		case fenced:
			fence.WriteString(line)
			p.code = append(p.code, strings.TrimSpace(line))
		default:
			prose.WriteString(line)
			if title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
				p.anchors = append(p.anchors, anchor(title))
			}
			if strings.HasPrefix(line, "    ") { // an indented block, or a list's second line
				p.code = append(p.code, strings.TrimSpace(line))
			}
		}
	}
	p.prose = prose.String()
	for _, m := range span.FindAllStringSubmatch(p.prose, -1) {
		p.code = append(p.code, m[1])
	}
	return p
}

// anchor is what GitHub calls a heading.
func anchor(title string) string {
	title = linkText.ReplaceAllString(strings.TrimSpace(title), "$1")
	return strings.ReplaceAll(notSlug.ReplaceAllString(strings.ToLower(title), ""), " ", "-")
}

// section returns what stands under a heading of the second level.
func (p page) section(t *testing.T, title string) string {
	t.Helper()
	_, rest, found := strings.Cut(p.text, "\n## "+title+"\n")
	if !found {
		t.Fatalf("there is no section %q", title)
	}
	under, _, _ := strings.Cut(rest, "\n## ")
	return under
}

// cells returns the cells of a table's column, from 0, below its head.
func cells(section string, column int) []string {
	var found []string
	for line := range strings.Lines(section) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "|") {
			parts := strings.Split(strings.Trim(line, "|"), "|")
			if column < len(parts) {
				found = append(found, strings.TrimSpace(parts[column]))
			}
		}
	}
	return found[min(2, len(found)):] // the head, and the line below it
}

// spans returns what is in backticks.
func spans(text string) []string {
	var found []string
	for _, m := range span.FindAllStringSubmatch(text, -1) {
		found = append(found, m[1])
	}
	return found
}
