package config_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/config"
)

func TestBackfillSaysWhichBuilds(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	day := func(d int) time.Time { return time.Date(2026, 3, d, 0, 0, 0, 0, time.UTC) }
	for name, c := range map[string]struct {
		flags config.BackfillFlags
		want  config.Backfill
		err   string
	}{
		"an organization, for a day": {
			config.BackfillFlags{Organization: "acme"}, config.Backfill{Organization: "acme", Since: now.Add(-24 * time.Hour)}, "",
		},
		"a pipeline with its organization": {
			config.BackfillFlags{Pipeline: "acme/web", Since: "7d"}, config.Backfill{Organization: "acme", Pipeline: "web", Since: now.Add(-7 * 24 * time.Hour)}, "",
		},
		"a pipeline beside its organization, and days": {
			config.BackfillFlags{Organization: "acme", Pipeline: "web", Since: "2026-03-01", Until: "2026-03-02"},
			config.Backfill{Organization: "acme", Pipeline: "web", Since: day(1), Until: day(2)},
			"",
		},
		"times": {
			config.BackfillFlags{Organization: "acme", Since: "2026-03-01T01:00:00+01:00", Until: "2h"},
			config.Backfill{Organization: "acme", Since: day(1), Until: now.Add(-2 * time.Hour)},
			"",
		},
		"nothing": {
			config.BackfillFlags{},
			config.Backfill{},
			"BUILDTRACKER_BACKFILL_ORG is not set: name the organization with --org, or with --pipeline=ORG/PIPELINE",
		},
		"two organizations": {
			config.BackfillFlags{Organization: "acme", Pipeline: "other/web"},
			config.Backfill{},
			"BUILDTRACKER_BACKFILL_PIPELINE is of the organization other, but BUILDTRACKER_BACKFILL_ORG is acme: name one of them",
		},
		"no time": {
			config.BackfillFlags{Organization: "acme", Since: "yesterday"},
			config.Backfill{},
			`BUILDTRACKER_BACKFILL_SINCE is "yesterday": write an age such as 36h or 7d, a day such as 2026-01-05, or a time such as 2026-01-05T09:30:00Z`,
		},
		"an end before the beginning": {
			config.BackfillFlags{Organization: "acme", Since: "1h", Until: "2h"},
			config.Backfill{},
			`BUILDTRACKER_BACKFILL_UNTIL is "2h", which is not after BUILDTRACKER_BACKFILL_SINCE: write a later one`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, _, _, err := c.flags.Config(now)
			if c.err != "" {
				if err == nil || err.Error() != c.err {
					t.Errorf("the error is %v\nwant %s", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, *got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
