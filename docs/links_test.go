package docs_test

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var target = regexp.MustCompile(`\]\(<?([^)>\s]+)>?\)|(?:src|srcset|href)="([^"]+)"`)

func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	all := pages(t)
	checked := 0
	for from, p := range all {
		for _, m := range target.FindAllStringSubmatch(span.ReplaceAllString(p.prose, ""), -1) {
			link := m[1] + m[2]
			if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
				continue
			}
			checked++
			file, fragment, _ := strings.Cut(link, "#")
			to := from
			if file != "" {
				to = path.Join(path.Dir(from), file)
			}
			if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(to))); err != nil {
				t.Errorf("%s links to %s, which is not there", from, link)
				continue
			}
			if fragment != "" && !slices.Contains(all[to].anchors, fragment) {
				t.Errorf("%s links to %s, where no heading is called so: there are %s", from, link, strings.Join(all[to].anchors, " "))
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d links were found", checked)
	}
}

func TestMakeTargetsAreThere(t *testing.T) {
	t.Parallel()
	var targets []string
	for _, m := range regexp.MustCompile(`(?m)^([a-z][a-z-]*):`).FindAllStringSubmatch(read(t, "Makefile"), -1) {
		targets = append(targets, m[1])
	}
	run := regexp.MustCompile(`(?:^|[;&|] *)make((?: +[A-Za-z_=-]+)*)`)
	mentioned := 0
	for where, p := range pages(t) {
		for _, code := range p.code {
			for _, m := range run.FindAllStringSubmatch(code, -1) {
				for _, word := range strings.Fields(m[1]) {
					if strings.Contains(word, "=") {
						continue
					}
					mentioned++
					if !slices.Contains(targets, word) {
						t.Errorf("%s says %q, and the Makefile has no %s", where, code, word)
					}
				}
			}
		}
	}
	if mentioned < 5 {
		t.Errorf("only %d targets were found", mentioned)
	}
}
