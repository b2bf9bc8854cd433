package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/config"
)

func TestExportSaysWhatIsExported(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		flags config.ExportFlags
		want  config.Export
	}{
		"nothing said": {
			config.ExportFlags{},
			config.Export{Since: now.Add(-24 * time.Hour), AskedSince: "24h", To: "jsonl", Out: "./export"},
		},
		"an age and a day": {
			config.ExportFlags{Since: " 7d ", Until: "2026-02-28", To: "Parquet", Out: " /srv/out "},
			config.Export{
				Since: now.AddDate(0, 0, -7), Until: time.Date(2026, 2, 28, 0, 0, 0, 0, time.UTC),
				AskedSince: "7d", AskedUntil: "2026-02-28", To: "parquet", Out: "/srv/out",
			},
		},
		"times": {
			config.ExportFlags{
				Since: "2026-01-05T09:30:00+01:00", Until: "1h", To: "bigquery",
				BigQueryFlags: config.BigQueryFlags{BigQueryProject: "p", BigQueryDataset: "ci"},
			},
			config.Export{
				Since: time.Date(2026, 1, 5, 8, 30, 0, 0, time.UTC), Until: now.Add(-time.Hour),
				AskedSince: "2026-01-05T09:30:00+01:00", AskedUntil: "1h", To: "bigquery", Out: "./export",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, cfg, client, err := tc.flags.Config(now)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if cfg.DataDir != "./data" || client.URL != "http://127.0.0.1:8080" || cfg.BigQuery.Project != tc.flags.BigQueryProject {
				t.Errorf("the store is in %q, the server at %q, BigQuery is %+v", cfg.DataDir, client.URL, cfg.BigQuery)
			}
		})
	}
}

func TestExportSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		flags config.ExportFlags
		want  string
	}{
		"no time":            {config.ExportFlags{Since: "yesterday"}, `BUILDTRACKER_EXPORT_SINCE is "yesterday": write an age`},
		"the future":         {config.ExportFlags{Since: "-1h"}, `BUILDTRACKER_EXPORT_SINCE is "-1h"`},
		"no other time":      {config.ExportFlags{Until: "later"}, `BUILDTRACKER_EXPORT_UNTIL is "later"`},
		"an end before":      {config.ExportFlags{Since: "1h", Until: "2h"}, `BUILDTRACKER_EXPORT_UNTIL is "2h", which is not after`},
		"no format":          {config.ExportFlags{To: "xml"}, `BUILDTRACKER_EXPORT_TO is "xml": write bigquery, csv, jsonl or parquet`},
		"BigQuery nowhere":   {config.ExportFlags{To: "bigquery"}, "BIGQUERY_PROJECT and BIGQUERY_DATASET are not set"},
		"half of a BigQuery": {config.ExportFlags{To: "bigquery", BigQueryFlags: config.BigQueryFlags{BigQueryProject: "p"}}, "BIGQUERY_DATASET is not set"},
		"no server":          {config.ExportFlags{ClientFlags: config.ClientFlags{URL: "ci"}}, "BUILDTRACKER_URL"},
		"no database":        {config.ExportFlags{StoreFlags: config.StoreFlags{DatabaseURL: "db"}}, "DATABASE_URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, _, _, err := tc.flags.Config(time.Now()); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}
