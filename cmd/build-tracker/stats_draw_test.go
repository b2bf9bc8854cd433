package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func number(n float64) *float64 { return &n }

// monthOfStats is a month of a pipeline up to noon.
func monthOfStats() *seenStats {
	s := &seenStats{
		Organization: "acme", Pipeline: "web", Branch: "main", Since: noon.AddDate(0, 0, -30).Truncate(24 * time.Hour), Until: &noon,
		Builds: 300, Failures: 12, Statuses: map[string]int64{"passed": 270, "failed": 12, "fixed": 9, "canceled": 8, "blocked": 1},
		Incidents: 5, MeanTimeToGreen: number(4320), LongestStreak: 4,
		Duration: seenPercentiles{number(250), number(723.5)}, QueueWait: seenPercentiles{number(0.4), number(65)},
	}
	for day := range 31 {
		d := seenDay{Date: s.Since.AddDate(0, 0, day).Format(time.DateOnly), Builds: int64(10 * (day % 7)), Failures: int64(day % 7 * (day % 3))}
		if d.Builds > 0 {
			s.Days = append(s.Days, d)
		}
	}
	for i, name := range []string{":jest: Unit tests", "browser tests", "", "日本語のステップ"} {
		s.FlakiestSteps = append(s.FlakiestSteps, seenStepStats{Pipeline: "acme/web", Name: name, Runs: 300, Flakes: int64(27 - 8*i), Duration: seenPercentiles{number(61), number(90)}})
		s.SlowestSteps = append(s.SlowestSteps, seenStepStats{Pipeline: "acme/web", Name: name, Runs: 290, Duration: seenPercentiles{number(700 - float64(i)*200), number(4000 - float64(i)*1000)}})
	}
	return s
}

func TestStatisticsDrawn(t *testing.T) {
	t.Parallel()
	year := monthOfStats()
	year.Since, year.Branch, year.Days = noon.AddDate(-1, 0, 0), "", nil
	for day := range 366 {
		year.Days = append(year.Days, seenDay{Date: year.Since.AddDate(0, 0, day).Format(time.DateOnly), Builds: 20, Failures: int64(day * day % 7)})
	}
	all := monthOfStats()
	all.Organization, all.Pipeline, all.Branch = "", "", ""
	green := &seenStats{Organization: "acme", Pipeline: "web", Since: ago(time.Hour), Until: &noon, Builds: 1, Days: []seenDay{{Date: "2026-03-02", Builds: 1}}}
	hostile := monthOfStats()
	hostile.Pipeline, hostile.Branch = "\x1b[2Jweb", strings.Repeat("very ", 1000)+"\u202elong"
	hostile.Builds, hostile.MeanTimeToGreen, hostile.LongestStreak = -1, number(-1e300), -5
	hostile.Days = []seenDay{{"2026-03-01", 1 << 62, 1 << 62}, {"2026-02-28", 1, -1}, {"1000-01-01", 1, 1}, {"\x1b", 1, 1}}
	hostile.FlakiestSteps[0].Name = "\x1b]0;title\x07"
	hostile.SlowestSteps[0].Duration = seenPercentiles{}
	for name, tc := range map[string]struct {
		stats *seenStats
		width int
	}{
		"month":     {monthOfStats(), 80},
		"wide":      {monthOfStats(), 120},
		"narrow":    {monthOfStats(), 30},
		"narrowest": {monthOfStats(), 1},
		"year":      {year, 80},
		"all":       {all, 80},
		"green":     {green, 80},
		"nothing":   {&seenStats{Organization: "acme", Pipeline: "web", Since: ago(time.Hour), Until: &noon}, 80},
		"counting":  {&seenStats{Since: ago(time.Hour)}, 80},
		"hostile":   {hostile, 80},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lines := tc.stats.draw(tc.width)
			for _, l := range lines {
				if l.width() > tc.width {
					t.Errorf("%d columns in %d", l.width(), tc.width)
				}
			}
			golden(t, filepath.Join("testdata", "stats", name+".txt"), strings.Join(texts(lines), "\n")+"\n")
		})
	}
}

func TestSharesAreForPeople(t *testing.T) {
	t.Parallel()
	for want, of := range map[string][2]int64{
		"0 %": {0, 300}, "4 %": {12, 300}, "0.3 %": {1, 300}, "below 0.1 %": {1, 100_000}, "100 %": {7, 7},
		"99.7 %": {299, 300}, "99 %": {99, 100}, "above 99.9 %": {99_999, 100_000},
	} {
		if got := percent(of[0], of[1]); got != want {
			t.Errorf("%d of %d: %s, want %s", of[0], of[1], got, want)
		}
	}
}

func TestStepsAreTellableApart(t *testing.T) {
	t.Parallel()
	of := func(pipelines ...string) []string {
		steps := make([]seenStepStats, len(pipelines))
		for i, p := range pipelines {
			steps[i] = seenStepStats{Pipeline: p, Name: "lint"}
		}
		var labels []string
		for i := range steps {
			labels = append(labels, steps[i].label(true, organizationOf(steps)))
		}
		return labels
	}
	for _, tc := range []struct{ pipelines, want []string }{
		{[]string{"acme/web", "acme/api"}, []string{"web: lint", "api: lint"}},
		{[]string{"acme/web", "acme2/web"}, []string{"acme/web: lint", "acme2/web: lint"}},
	} {
		if diff := cmp.Diff(tc.want, of(tc.pipelines...)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tc.pipelines, diff)
		}
	}
}
