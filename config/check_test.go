package config_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/config"
)

func TestCheckLooksAtTheFileAndAtTheWhole(t *testing.T) {
	t.Setenv("BUILD_TTL", "1h")
	t.Setenv("ADMIN_ADDR", "nowhere")
	t.Setenv("BUILDKITE_WEBHOOK_TOKEN", "hook")
	path := write(t, "build_ttl: soon\nlog_level: loud\nproduction: true\nallow_embedded: true\n")
	flags := parse(t, "--config="+path)
	if _, err := flags.Config(); err == nil || len(config.Problems(err)) != 3 {
		t.Errorf("the configuration: %v", err)
	}
	_, err := flags.Check()
	if err == nil {
		t.Fatal("no error")
	}
	want := []string{
		path + `:1:12: build_ttl is "soon", which is no duration: write for example 90m, 24h or 7d`,
		path + `:2:12: log_level is "loud": write debug, info, warn or error`,
		`ADMIN_ADDR is "nowhere", which is no address: write HOST:PORT, for example 127.0.0.1:8080`,
		`BUILDTRACKER_DEBUG_PASSWORD is not set, and production needs it: set it to a long random text`,
	}
	if diff := cmp.Diff(want, config.Problems(err)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestCheckOfWhatIsGood(t *testing.T) {
	t.Parallel()
	if _, err := fromFile("testdata/full.yaml").Check(); err != nil {
		t.Error(err)
	}
	if _, err := new(config.ServeFlags).Check(); err != nil {
		t.Error(err)
	}
}
