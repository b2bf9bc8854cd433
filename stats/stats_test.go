package stats_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/stats"
)

// noon is a time in the past.
var noon = time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)

// finished returns a build that finished at noon and has no jobs.
func finished(state string, took time.Duration) *build.Build {
	b := build.New("b", "acme", "web", 1)
	b.Branch.V, b.State = "main", state
	b.StartedAt, b.Latest = noon.Add(-took), build.Version{FinishedAt: noon.UnixMicro(), Rank: 12}
	return b
}

// attempt adds a job to a build, of a step that its name tells, that waited for a
// second.
func attempt(b *build.Build, name, state string, took time.Duration) *build.Job {
	if b.Jobs == nil {
		b.Jobs = make(map[string]*build.Job)
	}
	started := noon.Add(time.Duration(len(b.Jobs)-60) * time.Minute)
	j := &build.Job{
		ID: fmt.Sprintf("%s-%d", name, len(b.Jobs)), Name: name, Type: "script", State: state,
		CreatedAt: started.Add(-time.Minute), RunnableAt: started.Add(-time.Second), StartedAt: started,
		Latest: build.Version{FinishedAt: started.Add(took).UnixMicro(), Rank: 23},
	}
	b.Jobs[j.ID] = j
	return j
}

func TestQuantilesAreNearTheExactOnes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		durations := rapid.SliceOfN(rapid.Map(rapid.Float64Range(0, math.Log(1e8)), func(ln float64) time.Duration {
			return time.Duration(math.Exp(ln) * float64(time.Millisecond)) // 1 ms to a day, the short as often as the long
		}), 1, 300).Draw(t, "durations")
		var h stats.Histogram
		for _, d := range durations {
			h.Add(d)
		}
		slices.Sort(durations)
		for _, q := range []float64{0.01, 0.5, 0.95, 1} {
			exact := durations[int(math.Ceil(q*float64(len(durations))))-1]
			if off := math.Abs(float64(h.Quantile(q)-exact)) / float64(exact); off > stats.MaxError+1e-6 {
				t.Errorf("quantile %v is %v, %.4f off %v", q, h.Quantile(q), off, exact)
			}
		}
	})
}

func TestQuantilesAtTheEnds(t *testing.T) {
	t.Parallel()
	var h stats.Histogram
	if got := h.Quantile(.5); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
	h.Add(0)
	h.Add(999 * time.Microsecond)
	if got := h.Quantile(1); got != 0 {
		t.Errorf("of less than a millisecond: %v", got)
	}
	h.Add(math.MaxInt64)
	if got, year := h.Quantile(1), 365*24*time.Hour; got < 3*year || got > 4*year {
		t.Errorf("of almost for ever: %v", got)
	}
}

func TestStepsAreCountedByWhatBecameOfThem(t *testing.T) {
	t.Parallel()
	b := finished("failed", time.Hour)
	b.Streak = build.Streak{Failures: 3}
	attempt(b, "lint", "passed", time.Minute)
	attempt(b, "unit", "failed", time.Minute)
	attempt(b, "browser", "failed", 10*time.Minute).RetriedIn = attempt(b, "browser", "passed", 10*time.Minute).ID
	attempt(b, "style", "failed", time.Second).SoftFailed = true
	attempt(b, "never", "skipped", 0).StartedAt = time.Time{}
	attempt(b, "stopped", "canceled", time.Minute)
	attempt(b, "approval", "unblocked", 0).Type = "manual"
	var tally stats.Tally
	stats.Count(b, &tally)
	got := tally.Report()

	names := func(steps []stats.StepReport) (names []string) {
		for _, s := range steps {
			names = append(names, fmt.Sprintf("%s %s: %d runs, %d failures, %d flakes", s.Pipeline, s.Name, s.Runs, s.Failures, s.Flakes))
		}
		return names
	}
	if diff := cmp.Diff([]string{"acme/web browser: 1 runs, 0 failures, 1 flakes"}, names(got.FlakiestSteps)); diff != "" {
		t.Errorf("flakiest (-want +got):\n%s", diff)
	}
	want := []string{
		"acme/web browser: 1 runs, 0 failures, 1 flakes", "acme/web lint: 1 runs, 0 failures, 0 flakes",
		"acme/web unit: 1 runs, 1 failures, 0 flakes", "acme/web style: 1 runs, 0 failures, 0 flakes",
	}
	if diff := cmp.Diff(want, names(got.SlowestSteps)); diff != "" {
		t.Errorf("slowest (-want +got):\n%s", diff)
	}
	if got.Builds != 1 || got.Failures != 1 || got.LongestStreak != 3 {
		t.Errorf("%d builds, %d failures, a streak of %d", got.Builds, got.Failures, got.LongestStreak)
	}
	near(t, "duration", got.Duration.P50, 3600)
	near(t, "queue wait", got.QueueWait.P95, 1)
}

func near(t *testing.T, what string, got *float64, want float64) {
	t.Helper()
	if got == nil || math.Abs(*got-want) > stats.MaxError*want {
		t.Errorf("%s is %v, want about %v", what, got, want)
	}
}

func TestBuildsThatNeitherPassedNorFailedHaveNoDuration(t *testing.T) {
	t.Parallel()
	var tally stats.Tally
	stats.Count(finished("canceled", time.Hour), &tally)
	got := tally.Report()
	if got.Duration.P50 != nil || got.MeanTimeToGreen != nil || got.Builds != 1 || got.Statuses[build.Canceled] != 1 {
		t.Errorf("%+v", got)
	}
}

func TestTimeToGreenIsTheMeanOfIncidents(t *testing.T) {
	t.Parallel()
	var day stats.Day
	main := stats.Of{Organization: "acme", Pipeline: "web", Branch: "main"}
	day.Count(main, finished("passed", time.Minute))
	day.Ended(main, time.Hour)
	day.Ended(stats.Of{Organization: "acme", Pipeline: "web", Branch: "other"}, 2*time.Hour)
	got := make(map[stats.Of]float64)
	for of, tally := range day.All {
		got[of] = *tally.Report().MeanTimeToGreen
	}
	want := map[stats.Of]float64{
		{}: 5400, {Organization: "acme", Pipeline: "web"}: 5400, main: 3600, {Organization: "acme", Pipeline: "web", Branch: "other"}: 7200,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("seconds to green (-want +got):\n%s", diff)
	}
}

// drawBuild makes a build with some jobs.
func drawBuild(t *rapid.T) *build.Build {
	b := finished(rapid.SampledFrom([]string{"passed", "failed", "canceled", "odd"}).Draw(t, "state"), time.Duration(rapid.IntRange(0, 1e6).Draw(t, "ms"))*time.Millisecond)
	b.Blocked = rapid.IntRange(0, 9).Draw(t, "blocked") == 0
	b.Streak.Failures = rapid.IntRange(0, 9).Draw(t, "streak")
	for range rapid.IntRange(0, 5).Draw(t, "jobs") {
		attempt(b, rapid.SampledFrom([]string{"", "lint", "unit", "ünï"}).Draw(t, "name"),
			rapid.SampledFrom([]string{"passed", "failed", "canceled"}).Draw(t, "job"), time.Duration(rapid.IntRange(0, 1e6).Draw(t, "took"))*time.Millisecond)
	}
	return b
}

// TestStoredDaysAddUp: however builds are spread over days, and in whatever order
// they and the days come, the sum of what is stored is that of all at once.
func TestStoredDaysAddUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var whole stats.Tally
		days := make([]stats.Tally, 4)
		for _, b := range rapid.SliceOfN(rapid.Custom(drawBuild), 0, 12).Draw(t, "builds") {
			of := rapid.IntRange(0, len(days)-1).Draw(t, "day")
			stats.Count(b, &whole, &days[of])
			if red := rapid.IntRange(0, 100).Draw(t, "red"); red < 20 {
				whole.Ended(time.Duration(red) * time.Minute)
				days[of].Ended(time.Duration(red) * time.Minute)
			}
		}
		var sum stats.Tally
		for _, i := range rapid.Permutation([]int{0, 1, 2, 3}).Draw(t, "order") {
			if err := sum.AddStored(days[i].Append(nil)); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(whole.Report(), sum.Report()); diff != "" {
			t.Errorf("report (-at once +summed):\n%s", diff)
		}
		if diff := cmp.Diff(whole.Append(nil), sum.Append(nil)); diff != "" {
			t.Errorf("stored (-at once +summed):\n%s", diff)
		}
	})
}

func TestOnlyTheStepsOfMostBuildsAreStored(t *testing.T) {
	t.Parallel()
	var tally stats.Tally
	for n := range 3 {
		b := finished("passed", time.Minute)
		for i := range 400 {
			name := fmt.Sprintf("of build %d, %d", n, i)
			if i%4 == 0 {
				name = fmt.Sprintf("always %d", i)
			}
			j := attempt(b, name, "passed", time.Duration(i+1)*time.Second)
			j.StartedAt, j.Latest.FinishedAt = noon, noon.Add(time.Duration(i+1)*time.Second).UnixMicro()
		}
		stats.Count(b, &tally)
	}
	data := tally.Append(nil)
	if len(data) > 20_000 {
		t.Errorf("%d bytes are stored", len(data))
	}
	var read stats.Tally
	if err := read.AddStored(data); err != nil {
		t.Fatal(err)
	}
	most := 0
	for _, s := range read.Report().SlowestSteps {
		if s.Runs == 3 {
			most++
		}
	}
	if most == 0 || read.Builds() != 3 {
		t.Errorf("of those that ran in each build %d are among the slowest; %d builds", most, read.Builds())
	}
}

func TestDamagedTalliesAreRefused(t *testing.T) {
	t.Parallel()
	b := finished("failed", time.Hour)
	attempt(b, "unit", "failed", time.Minute)
	var tally stats.Tally
	stats.Count(b, &tally)
	good := tally.Append(nil)
	for n := range good {
		if err := new(stats.Tally).AddStored(good[:n]); err == nil {
			t.Errorf("the first %d of %d bytes are taken", n, len(good))
		}
	}
	if err := new(stats.Tally).AddStored(append(slices.Clone(good), 0)); err == nil {
		t.Error("what has a byte more is taken")
	}
}

func FuzzStored(f *testing.F) {
	b := finished("failed", time.Hour)
	attempt(b, "unit", "failed", time.Minute)
	var tally stats.Tally
	stats.Count(b, &tally)
	f.Add(tally.Append(nil))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, data []byte) {
		var tally stats.Tally
		if tally.AddStored(data) == nil {
			tally.Report()
		}
	})
}
