package docs_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/internal/testenv"
)

// TestRoutesAreDocumented: the README's table has the routes that the server
// registers, and no other.
func TestRoutesAreDocumented(t *testing.T) {
	t.Parallel()
	sources, err := filepath.Glob(filepath.Join(root, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	registered := regexp.MustCompile(`\.Handle(?:Func)?\("([A-Z]+) ([^"]+)"`)
	var want []string
	for _, source := range sources {
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		for _, m := range registered.FindAllStringSubmatch(read(t, filepath.Base(source)), -1) {
			want = append(want, m[1]+" "+regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(m[2], "…"))
		}
	}

	var got []string
	for _, cell := range cells(pages(t)["README.md"].section(t, "HTTP"), 0) {
		method := ""
		for _, route := range spans(cell) {
			if first, rest, ok := strings.Cut(route, " "); ok {
				method, route = first, rest
			}
			route, _, _ = strings.Cut(route, "?")
			got = append(got, method+" "+regexp.MustCompile(`[A-Z]+`).ReplaceAllString(route, "…"))
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("routes (-registered +in the README):\n%s", diff)
	}
}

// TestSlackManifestAsksForTheScopesThatAreUsed: those that the tests' Slack wants,
// that of private channels, which it has not, and no other.
func TestSlackManifestAsksForTheScopesThatAreUsed(t *testing.T) {
	t.Parallel()
	var manifest struct {
		DisplayInformation struct{ Name, Description string }      `yaml:"display_information"`
		OAuth              struct{ Scopes struct{ Bot []string } } `yaml:"oauth_config"`
		Settings           struct {
			TokenRotation bool `yaml:"token_rotation_enabled"`
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "deploy/slack/manifest.yaml")), &manifest); err != nil {
		t.Fatal(err)
	}
	want := append(testenv.SlackScopes(), "groups:history")
	got := slices.Clone(manifest.OAuth.Scopes.Bot)
	inReadme := spans(strings.Join(cells(pages(t)["README.md"].section(t, "Connect Slack"), 0), " "))
	for _, scopes := range [][]string{want, got, inReadme} {
		slices.Sort(scopes)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("scopes of the manifest (-used +asked for):\n%s", diff)
	}
	if diff := cmp.Diff(want, inReadme); diff != "" {
		t.Errorf("scopes in the README (-used +listed):\n%s", diff)
	}
	// Slack's limits, https://docs.slack.dev/reference/app-manifest. A token that
	// rotates would expire after 12 hours: the program does not renew it.
	if d := manifest.DisplayInformation; d.Name == "" || len(d.Name) > 35 || len(d.Description) > 140 || manifest.Settings.TokenRotation {
		t.Errorf("Slack refuses the manifest, or its token would expire: %+v", manifest)
	}
}

func TestMetricsThatAreMentionedAreThere(t *testing.T) {
	t.Parallel()
	all := pages(t)
	listed := spans(strings.Join(cells(all["docs/metrics.md"].text, 0), " "))
	metric := regexp.MustCompile(`\bbuildtracker_[a-z_]+\b`)
	mentioned := 0
	for where, p := range all {
		if where == "CHANGELOG.md" { // old names, too
			continue
		}
		for _, name := range metric.FindAllString(strings.Join(p.code, "\n"), -1) {
			mentioned++
			if !slices.Contains(listed, name) {
				t.Errorf("%s mentions %s, which metrics.md does not list", where, name)
			}
		}
	}
	if mentioned < len(listed)+5 {
		t.Errorf("only %d metrics were found", mentioned)
	}
}

// TestLogLinesThatAreMentionedAreWritten: people search for them word for word.
func TestLogLinesThatAreMentionedAreWritten(t *testing.T) {
	t.Parallel()
	var sources strings.Builder
	for _, folder := range []string{".", "notify"} {
		files, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				sources.WriteString(read(t, filepath.Join(folder, filepath.Base(file))))
			}
		}
	}
	said := regexp.MustCompile("log lines? ((?:`[^`]+`(?:, | and )?)+)")
	mentioned := 0
	for where, p := range pages(t) {
		for _, m := range said.FindAllStringSubmatch(strings.ReplaceAll(p.prose, "\n", " "), -1) {
			for _, line := range spans(m[1]) {
				mentioned++
				if !strings.Contains(sources.String(), `"`+line) {
					t.Errorf("%s says that the log has %q; nothing writes that", where, line)
				}
			}
		}
	}
	if mentioned < 5 {
		t.Errorf("only %d log lines were found", mentioned)
	}
}
