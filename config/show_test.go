package config_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/config"
)

func show(t *testing.T, f config.ServeFlags) string {
	t.Helper()
	var out bytes.Buffer
	if err := f.Show(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// Not parallel, as it sets a variable.
func TestShowSaysWhereEachSettingComesFrom(t *testing.T) {
	t.Setenv("ADMIN_ADDR", "127.0.0.1:9001")
	golden(t, "full.show", show(t, parse(t, "--config=testdata/full.yaml", "--slack-debug", "--build-ttl=48h")))
}

func TestWhatIsShownIsTheSameConfiguration(t *testing.T) {
	t.Parallel()
	token := write(t, "xoxb")
	for name, f := range map[string]config.ServeFlags{
		"nothing": {},
		"a file":  fromFile("testdata/full.yaml"),
		"odd texts": fromFile(write(t, `slack_channel: "a: b # \"c\" \\ \t \x7f \U0001F600 'd' "
data_dir: "null"
notice_max_age: 1h30m
external_url: https://ci.example.com/a-b_c%20d
`)),
		"an address":        fromFile(write(t, "listen_addr: '[::1]:80'")),
		"a port":            fromFile(write(t, "port: 80")),
		"a secret's file":   fromFile(write(t, "slack_token_file: "+token+"\nslack_channel: '- x'")),
		"embedded, allowed": fromFile(write(t, "production: yes\nallow_embedded: 1\nbuildkite_webhook_token_file: "+token+"\ndebug_password_file: "+token)),
		"no env kept":       fromFile(write(t, "env_keep: []")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, err := f.Config()
			if err != nil {
				t.Fatal(err)
			}
			text := show(t, f)
			got, err := fromFile(write(t, text)).Check()
			if err != nil {
				t.Fatalf("what is shown is not good: %v\n%s", err, text)
			}
			got.File = want.File
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("configuration (-told +shown):\n%s%s", diff, text)
			}
			if again := show(t, fromFile(write(t, text))); values(again) != values(text) {
				t.Errorf("shown again it is\n%s, not\n%s", again, text)
			}
		})
	}
}

// values leaves out where settings come from.
func values(shown string) string {
	var out strings.Builder
	for line := range strings.Lines(shown) {
		if i := strings.LastIndex(line, "# "); i >= 0 {
			line = line[:i]
		}
		out.WriteString(strings.TrimSpace(line) + "\n")
	}
	return out.String()
}

// Not parallel, as it sets variables.
func TestShowShowsNoSecret(t *testing.T) {
	file := write(t, "hush-in-a-file")
	for _, v := range config.Variables() {
		if v.Secret && v.Name != "BUILDTRACKER_TOKEN" {
			t.Setenv(v.Name, "hush")
		}
	}
	t.Setenv("DATABASE_URL", "postgres://u:hush@db/t")
	t.Setenv("DATABASE_LISTEN_URL", "postgres://u:hush@db/t")
	t.Setenv("REDIS_URL", "redis://u:hush@cache")
	t.Setenv("BUILDKITE_WEBHOOK_TOKEN", "")
	path := write(t, "buildkite_webhook_token: hush,hush\nslack_channel: C1\n")
	for name, args := range map[string][]string{
		"the environment and the file": {"--config=" + path},
		"flags":                        {"--config=" + path, "--slack-token=hush", "--api-tokens=hush"},
		"a secret's file":              {"--config=" + path, "--slack-token-file=" + file},
	} {
		text := show(t, parse(t, args...))
		if strings.Contains(text, "hush") {
			t.Errorf("%s: a secret shows:\n%s", name, text)
		}
		if want := `buildkite_webhook_token: "***"`; !strings.Contains(text, want) {
			t.Errorf("%s: no %s in\n%s", name, want, text)
		}
		_, err := fromFile(write(t, text)).Check()
		if err == nil || !strings.Contains(err.Error(), "tracker.yaml:6:26: buildkite_webhook_token is masked") || strings.Contains(err.Error(), filepath.Base(file)+":0") {
			t.Errorf("%s: a mask is taken for a secret: %v", name, err)
		}
	}
}

func TestShowOfWhatIsWrong(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := fromFile("testdata/wrong.yaml").Show(&out); err == nil || out.Len() > 0 {
		t.Errorf("it shows %q, and says %v", out.String(), err)
	}
	if err := fromFile(write(t, "build_ttl: soon")).Show(&out); err == nil || out.Len() > 0 {
		t.Errorf("it shows %q, and says %v", out.String(), err)
	}
}
