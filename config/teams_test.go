package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/build-tracker/build-tracker/config"
)

func TestFirstTeamWhosePatternMatchesOwnsThePipeline(t *testing.T) {
	t.Parallel()
	live := config.Live{
		Retention: config.Retention{Events: 90 * day},
		Teams: []config.Team{
			{Name: "web", Pipelines: []string{"acme/web", "acme/*-web-*"}, Retention: config.TeamRetention{Events: day}},
			{Name: "mobile", Pipelines: []string{"acme/mobile-*", "*/app"}},
			{Name: "rest of acme", Pipelines: []string{"acme/*"}},
		},
	}
	for at, want := range map[[2]string]string{
		{"acme", "web"}:           "web",
		{"acme", "my-web-site"}:   "web",
		{"acme", "-web-"}:         "web",
		{"acme", "mobile-web-a"}:  "web",
		{"acme", "mobile-"}:       "mobile",
		{"acme", "mobile"}:        "rest of acme",
		{"other", "app"}:          "mobile",
		{"other", "web"}:          "",
		{"acmes", "web"}:          "",
		{"", ""}:                  "",
		{"acme", ""}:              "",
		{"acme", "mobile-/../ab"}: "mobile",
	} {
		if got := live.TeamOf(at[0], at[1]); got != want {
			t.Errorf("%s/%s belongs to %q, want %q", at[0], at[1], got, want)
		}
	}
	for i, want := range []time.Duration{day, 90 * day} {
		if got := live.EventRetention(live.Teams[i]); got != want {
			t.Errorf("events of %s are kept for %v, want %v", live.Teams[i].Name, got, want)
		}
	}
}

// TestPatternIsRefusedOnlyIfItNeverGetsItsTurn compares the file's verdict
// with pipelines that were tried out.
func TestPatternIsRefusedOnlyIfItNeverGetsItsTurn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	// A pattern of 4 letters that tells itself from another does it with one of
	// these.
	texts := []string{""}
	for i := 0; len(texts) < 1+3+9+27+81; i++ {
		texts = append(texts, texts[i]+"a", texts[i]+"b", texts[i]+"c")
	}
	pattern := rapid.StringMatching(`[ab*]{1,4}`)
	rapid.Check(t, func(t *rapid.T) {
		first, second := pattern.Draw(t, "first"), pattern.Draw(t, "second")
		refused := refuses(t, dir, first, second)
		one := config.Live{Teams: []config.Team{{Name: "one", Pipelines: []string{"o/" + first}}}}
		two := config.Live{Teams: []config.Team{{Name: "two", Pipelines: []string{"o/" + second}}}}
		turn := false
		for _, slug := range texts {
			turn = turn || two.TeamOf("o", slug) != "" && one.TeamOf("o", slug) == ""
		}
		if turn == refused {
			t.Fatalf("%s behind %s gets a turn: %v, is refused: %v", second, first, turn, refused)
		}
	})
}

// refuses says whether a file refuses a second team's pattern behind a first
// one's.
func refuses(t *rapid.T, dir, first, second string) bool {
	path := filepath.Join(dir, "tracker.yaml")
	text := fmt.Sprintf("teams:\n- {name: one, pipelines: ['o/%s']}\n- {name: two, pipelines: ['o/%s']}\n", first, second)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := fromFile(path).Config()
	if err != nil && !strings.Contains(err.Error(), "tracker.yaml:3:27: o/"+second) {
		t.Fatal(err)
	}
	return err != nil
}
