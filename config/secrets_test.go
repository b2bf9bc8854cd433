package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/config"
)

func TestSecretNeverShows(t *testing.T) {
	t.Parallel()
	type holder struct {
		One  config.Secret
		Many config.Secrets
	}
	v := holder{"hush", config.Secrets{"hush", "hush"}}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb+"\n", v.One, v)
	}
	fmt.Fprintln(&out, v, &v, fmt.Errorf("with %v and %q", v.One, v.Many))
	if err := json.NewEncoder(&out).Encode(v); err != nil {
		t.Fatal(err)
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("start", "one", v.One, "many", v.Many, "config", v)
	}
	if hex := fmt.Sprintf("%x", "hush"); strings.Contains(out.String(), "hush") || strings.Contains(out.String(), hex) {
		t.Errorf("a secret shows:\n%s", out.String())
	}
	if !strings.Contains(out.String(), `"One":"***"`) {
		t.Errorf("no mask in JSON:\n%s", out.String())
	}
	if got := config.Secret("").String(); got != "" {
		t.Errorf("no secret prints as %q", got)
	}
}

func TestSecretsFromFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	flags := config.ServeFlags{
		WebhookTokenFile:  file("webhook", "new,old\n"),
		APITokensFile:     file("api", "reader"),
		DebugPasswordFile: file("debug", " spaces stay \r\n"),
		SlackTokenFile:    file("slack", "xoxb\n"),
		SlackChannel:      "C1",
	}
	flags.DatabaseURLFile = file("database", "postgres://db/t\n")
	flags.RedisURLFile = file("redis", "redis://cache\n")
	got, err := flags.Config()
	if err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.WebhookTokens, want.APITokens = config.Secrets{"new", "old"}, config.Secrets{"reader"}
	want.DebugPassword, want.SlackToken, want.SlackChannel = " spaces stay ", "xoxb", "C1"
	want.DatabaseURL, want.RedisURL = "postgres://db/t", "redis://cache"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
}

func TestSecretFilesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string]string{"good": "hush", "empty": "\n", "comma": "hush,\n", "large": strings.Repeat("h", 1<<17)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		value config.Secret
		file  string
		want  string
	}{
		"both are set":    {"hush", "good", "BUILDTRACKER_API_TOKENS and BUILDTRACKER_API_TOKENS_FILE are both set"},
		"not there":       {"", "missing", "BUILDTRACKER_API_TOKENS_FILE cannot be read: open "},
		"empty":           {"", "empty", "BUILDTRACKER_API_TOKENS_FILE cannot be read: "},
		"an empty entry":  {"", "comma", "BUILDTRACKER_API_TOKENS has an empty entry"},
		"not for a token": {"", "large", "BUILDTRACKER_API_TOKENS_FILE cannot be read: "},
		"a folder":        {"", ".", "BUILDTRACKER_API_TOKENS_FILE cannot be read: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := config.ServeFlags{APITokens: tc.value, APITokensFile: filepath.Join(dir, tc.file)}.Config()
			if err == nil || !strings.HasPrefix(err.Error(), tc.want) || strings.Contains(err.Error(), "hush") {
				t.Errorf("error %v, want one that begins with %q", err, tc.want)
			}
		})
	}
}
