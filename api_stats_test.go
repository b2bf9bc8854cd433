package buildtracker

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/config"
)

// keepsLong has builds of the past be young.
func keepsLong(c *config.Config) { c.Live.Retention.Builds = 100 * 365 * 24 * time.Hour }

func TestStatisticsAreShownAsPromised(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		r := startServer(t, s, keepsLong)
		began := time.Now().Truncate(time.Second)
		r.record(failure(41)...)
		green := tell("web", 42)
		other := tell("web", 43)
		other.fields["branch"] = "feature/x"
		r.record(
			green.job("lint", "passed", "created_at", "2024-05-02T10:00:00Z", "runnable_at", "2024-05-02T10:01:00Z", "started_at", "2024-05-02T10:01:05Z", "finished_at", "2024-05-02T10:03:05Z"),
			green.dated("passed", time.Date(2024, 5, 2, 10, 41, 40, 500_000_000, time.UTC)),
			other.dated("failed", time.Date(2024, 5, 2, 11, 0, 0, 0, time.UTC)),
		)
		var got answer
		ask := "/api/stats?" + url.Values{"pipeline": {"acme/web"}, "branch": {"main"}, "since": {"2024-05-01"}}.Encode()
		await(t, "builds to be counted", func() (bool, error) {
			got = r.get(ask)
			return strings.Contains(got.body, `"builds":2,`), nil
		})
		until := regexp.MustCompile(`"until":"([^"]+)"`)
		if at, err := time.Parse(time.RFC3339, until.FindStringSubmatch(got.body)[1]); err != nil || at.Before(began) {
			t.Errorf("until %v, want %v or later: %v", at, began, err)
		}
		const want = `{"organization":"acme","pipeline":"web","branch":"main","since":"2024-05-01T00:00:00Z","until":"TIME",` +
			`"builds":2,"failures":1,"statuses":{"blocked":0,"canceled":0,"failed":1,"fixed":0,"passed":1,"unknown":0},` +
			`"incidents":1,"mean_time_to_green_seconds":86400,"longest_streak":1,` +
			`"duration_seconds":{"p50":38.467,"p95":57.405},"queue_wait_seconds":{"p50":5.197,"p95":5.197},` +
			`"flakiest_steps":[{"pipeline":"acme/web","name":"lint","runs":2,"failures":0,"flakes":1,"duration_seconds":{"p50":115.667,"p95":115.667}}],` +
			`"slowest_steps":[{"pipeline":"acme/web","name":"lint","runs":2,"failures":0,"flakes":1,"duration_seconds":{"p50":115.667,"p95":115.667}}],` +
			`"days":[{"date":"2024-05-01","builds":1,"failures":1},{"date":"2024-05-02","builds":1,"failures":0}]}` + "\n"
		if diff := cmp.Diff(want, until.ReplaceAllString(got.body, `"until":"TIME"`)); diff != "" {
			t.Errorf("statistics (-want +got):\n%s", diff)
		}

		for ask, want := range map[string]int{
			"since=2024-05-01":                                    3,
			"since=2024-05-01&pipeline=acme/web":                  3,
			"since=2024-05-02T23:00:00%2B01:00&pipeline=acme/web": 2,
			"since=2024-05-01&pipeline=acme/web&branch=feature/x": 1,
			"since=2024-05-01&pipeline=acme/web&branch=other":     0,
			"since=2024-05-01&pipeline=acme/api":                  0,
			"since=36h":                                           0,
			"":                                                    0,
		} {
			var a statsAnswer
			r.read("/api/stats?"+ask, &a)
			if a.Builds != int64(want) {
				t.Errorf("?%s: %d builds, want %d", ask, a.Builds, want)
			}
		}
	})
}

func TestStatisticsGoBackAsFarAsBuildsAreKept(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	r := startServer(t, embeddedStores(t), func(c *config.Config) { c.Live.Retention.Builds = 10 * day })
	for ask, days := range map[string]int{"": 10, "since=9d": 9, "since=400d": 10, "since=0s": 0, "since=1970-01-01": 10} {
		var a statsAnswer
		before := time.Now()
		r.read("/api/stats?"+ask, &a)
		after := time.Now()
		age := time.Duration(days) * day
		if a.Since.Before(startOfDay(before.Add(-age))) || a.Since.After(startOfDay(after.Add(-age))) {
			t.Errorf("?%s: since %v, want %d days ago", ask, a.Since, days)
		}
	}
}

func TestStatisticsSayWhatToWrite(t *testing.T) {
	t.Parallel()
	r := startServer(t, embeddedStores(t), keepsLong)
	for ask, want := range map[string]string{
		"pipeline=web":     "The parameter pipeline is ORGANIZATION/PIPELINE.",
		"pipeline=acme/":   "The parameter pipeline is ORGANIZATION/PIPELINE.",
		"pipeline=a/b/c":   "The parameter pipeline is ORGANIZATION/PIPELINE.",
		"branch=main":      "The parameter branch needs a pipeline: add pipeline=ORGANIZATION/PIPELINE.",
		"since=yesterday":  "The parameter since is an age such as 36h or 7d, a day such as 2026-01-05, or a time such as 2026-01-05T09:30:00Z.",
		"since=-1d":        "The parameter since is an age such as 36h or 7d, a day such as 2026-01-05, or a time such as 2026-01-05T09:30:00Z.",
		"since=2199-01-01": "The parameter since is a time in the past.",
		"since=2024-13-01": "The parameter since is an age such as 36h or 7d, a day such as 2026-01-05, or a time such as 2026-01-05T09:30:00Z.",
	} {
		got := r.get("/api/stats?" + ask)
		if got.status != http.StatusBadRequest || !strings.Contains(got.body, fmt.Sprintf("%q", want)) {
			t.Errorf("?%s: %d %s, want 400 with %q", ask, got.status, got.body, want)
		}
	}
}

func TestStatisticsNeedTheReadersToken(t *testing.T) {
	t.Parallel()
	r := startServer(t, embeddedStores(t), keepsLong, func(c *config.Config) { c.APITokens = []config.Secret{"hush"} })
	if got := r.get("/api/stats"); got.status != http.StatusUnauthorized {
		t.Errorf("without a token: %d", got.status)
	}
}
