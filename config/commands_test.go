package config_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/config"
)

func TestRebuildReadsStoresNoticesAndServer(t *testing.T) {
	t.Parallel()
	var flags config.RebuildFlags
	flags.DataDir, flags.Notices = "/var/lib/tracker", "off"
	flags.MetricsPipeline = "acme/metrics"
	flags.URL, flags.Token = "https://ci.example.com/", "hush"
	cfg, client, err := flags.Config()
	if err != nil {
		t.Fatal(err)
	}
	wantConfig := &config.Config{
		DataDir: "/var/lib/tracker", BuildTTL: 24 * time.Hour, NoticeMaxAge: 24 * time.Hour,
		MetricsPipeline: config.MetricsPipeline{
			Organization: "acme", Pipeline: "metrics", Branch: "main", Commit: "HEAD", EnvPrefix: "TRIGGERED_FROM_BUILD_",
		},
		Log: config.Log{Level: slog.LevelInfo, Format: config.LogAuto},
	}
	if diff := cmp.Diff(wantConfig, cfg); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	wantClient := &config.Client{URL: "https://ci.example.com", Token: "hush"}
	if diff := cmp.Diff(wantClient, client); diff != "" {
		t.Errorf("client (-want +got):\n%s", diff)
	}
}

func TestRebuildReportsAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	var flags config.RebuildFlags
	flags.DatabaseURL, flags.URL = "db", "127.0.0.1:8080"
	_, _, err := flags.Config()
	if err == nil || !strings.Contains(err.Error(), "DATABASE_URL") || !strings.Contains(err.Error(), "BUILDTRACKER_URL") {
		t.Errorf("error %v, want DATABASE_URL and BUILDTRACKER_URL", err)
	}
}

func TestMigrateNeedsNoServer(t *testing.T) {
	t.Parallel()
	var flags config.MigrateFlags
	flags.DatabaseURL = "postgres://db/t"
	cfg, err := flags.Config()
	if err != nil {
		t.Fatal(err)
	}
	if cfg.DatabaseURL != "postgres://db/t" {
		t.Errorf("database URL %q", cfg.DatabaseURL.Value())
	}
}
