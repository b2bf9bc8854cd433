package config_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/config"
)

func TestVariablesListEachVariableOnce(t *testing.T) {
	t.Parallel()
	byName := make(map[string]config.Variable)
	for _, v := range config.Variables() {
		if _, again := byName[v.Name]; again {
			t.Errorf("%s is listed twice", v.Name)
		}
		if v.Help == "" || v.Flag == "" || len(v.Commands) == 0 {
			t.Errorf("%s lacks help, a flag or a command: %+v", v.Name, v)
		}
		byName[v.Name] = v
	}
	for name, want := range map[string]config.Variable{
		"LISTEN_ADDR": {Flag: "listen-addr", Key: "listen_addr", Default: "127.0.0.1:8080", Group: "Listeners", Commands: []string{"serve"}},
		"SLACK_TOKEN": {Flag: "slack-token", Key: "slack_token", Group: "Notices", Secret: true, Commands: []string{"serve"}},
		"DATA_DIR":    {Flag: "data-dir", Key: "data_dir", Default: "./data", Group: "Stores", Commands: []string{"serve", "rebuild", "backfill", "migrate", "export"}},
		// Not taken from the file: it names it.
		"BUILDTRACKER_CONFIG": {Flag: "config", Group: "Configuration", Commands: []string{"serve", "rebuild", "backfill", "migrate", "export"}},
	} {
		got := byName[name]
		want.Name, want.Help = name, got.Help
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestServerSettingsAreTexts: the file puts its text into them.
func TestServerSettingsAreTexts(t *testing.T) {
	t.Parallel()
	var walk func(reflect.Type)
	walk = func(flags reflect.Type) {
		for i := range flags.NumField() {
			switch f := flags.Field(i); {
			case f.Anonymous:
				walk(f.Type)
			case f.IsExported() && f.Type.Kind() != reflect.String:
				t.Errorf("%s is a %s, want a text", f.Name, f.Type)
			}
		}
	}
	walk(reflect.TypeFor[config.ServeFlags]())
}

// TestEveryFieldOfConfigHasAKeyOrIsLive: else a change of it would go unnoticed.
func TestEveryFieldOfConfigHasAKeyOrIsLive(t *testing.T) {
	t.Parallel()
	var keys []string
	for _, v := range config.Variables() {
		keys = append(keys, v.Key)
	}
	live := []string{"File", "Live", "Level"}
	var walk func(reflect.Type)
	walk = func(part reflect.Type) {
		for i := range part.NumField() {
			f := part.Field(i)
			key := f.Tag.Get("key")
			switch {
			case slices.Contains(live, f.Name):
			case key == "" && f.Type.Kind() == reflect.Struct:
				walk(f.Type)
			case !slices.Contains(keys, key):
				t.Errorf("%s has the key %q, which is none of %s", f.Name, key, strings.Join(keys, " "))
			}
		}
	}
	walk(reflect.TypeFor[config.Config]())
}

func TestWhatNeedsARestart(t *testing.T) {
	t.Parallel()
	before, after := defaults(), defaults()
	after.Live.EnvKeep, after.Log.Level, after.File.Path = nil, 8, "other.yaml"
	if got := before.NeedsRestart(after); len(got) > 0 {
		t.Errorf("%v need a restart", got)
	}
	after.ListenAddr, after.WebhookTokens, after.Log.Format = ":1", config.Secrets{"a"}, config.LogText
	after.BigQuery.Dataset, after.MetricsPipeline.Branch = "builds", "trunk"
	if diff := cmp.Diff([]string{"listen_addr", "buildkite_webhook_token", "metrics_pipeline", "bigquery_dataset", "log_format"}, before.NeedsRestart(after)); diff != "" {
		t.Errorf("what needs a restart (-want +got):\n%s", diff)
	}
}
