package buildtracker

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math/rand"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
	"github.com/build-tracker/build-tracker/stats"
)

// counted brings the statistics up to what the rig has folded, as a process does
// that has just taken them over.
func (r *rig) counted(sweep bool) {
	r.t.Helper()
	s := &statistician{store: r.db, log: slog.New(slog.DiscardHandler)}
	at, err := s.begin(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := s.count(r.t.Context(), at, sweep); err != nil {
		r.t.Fatal(err)
	}
}

// setTallies writes what a reader of the statistics' cursor counted.
func (r *rig) setTallies(d db.DayTallies) error {
	at, err := (&statistician{store: r.db}).begin(r.t.Context())
	d.Cursor, d.Generation = statsCursor, at.Generation
	return errors.Join(err, r.db.SetTallies(r.t.Context(), d))
}

// report sums up the stored days.
func (r *rig) report(of stats.Of) stats.Report {
	r.t.Helper()
	tallies, err := r.db.Tallies(r.t.Context(), db.TallyQuery{
		Organization: of.Organization, Pipeline: of.Pipeline, Branch: of.Branch, Since: time.Unix(0, 0), Format: stats.Format,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	var sum stats.Tally
	for _, t := range tallies {
		if err := sum.AddStored(t.Data); err != nil {
			r.t.Fatal(err)
		}
	}
	return sum.Report()
}

// atOnce counts all builds of a pipeline, or a branch of it, as the definitions say.
func (r *rig) atOnce(of stats.Of) stats.Report {
	r.t.Helper()
	rows, err := r.db.List(r.t.Context(), db.ListQuery{Organization: of.Organization, Pipeline: of.Pipeline, Branch: of.Branch, Limit: 1000})
	if err != nil {
		r.t.Fatal(err)
	}
	slices.SortFunc(rows, func(x, y db.Row) int { return cmp.Compare(x.Number, y.Number) })
	var all stats.Tally
	red := make(map[string]time.Time) // by branch: when the first of its row of failures finished
	for _, row := range rows {
		if row.FinishedAt.IsZero() {
			continue
		}
		b, err := build.Decode(row.Snapshot)
		if err != nil {
			r.t.Fatal(err)
		}
		stats.Count(b, &all)
		began, isRed := red[row.Branch]
		switch {
		case row.Class == build.ClassFailed && !isRed:
			red[row.Branch] = row.FinishedAt
		case row.Class == build.ClassPassed:
			delete(red, row.Branch)
			if isRed && row.FinishedAt.After(began) {
				all.Ended(row.FinishedAt.Sub(began))
			}
		}
	}
	return all.Report()
}

// dated is the build's finish at a time.
func (b *told) dated(state string, at time.Time) traffic.Delivery {
	b.fields["state"], b.fields["finished_at"] = state, at.Format(time.RFC3339Nano)
	b.fields["started_at"] = at.Add(-time.Minute).Format(time.RFC3339Nano)
	return b.event("build.finished", nil)
}

// Whatever order deliveries come in, with any of them repeated, and however often
// the statistics are counted between them, the days add up to all builds at once.
// Builds fail and pass again over several days.
func TestDaysAddUpToAllBuildsAtOnce(t *testing.T) {
	t.Parallel()
	s := embeddedStores(t)
	s.dir = memoryDir(t)
	rig := newRig(t, s)
	defer rig.close()
	rig.counted(true)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		random := rand.New(rand.NewSource(rapid.Int64().Draw(rt, "seed")))
		n++
		of := stats.Of{Organization: "acme", Pipeline: fmt.Sprintf("pipeline-%d", n)}
		first := time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, 10*n)
		when := func() time.Time { return first.Add(time.Duration(random.Intn(5*24*60)) * time.Minute) }
		var deliveries []traffic.Delivery
		for number := range rapid.IntRange(1, 10).Draw(rt, "builds") {
			b := tell(of.Pipeline, number+1)
			b.fields["branch"] = []string{"main", "main", "other"}[random.Intn(3)]
			started := when().Format(time.RFC3339)
			failed := b.job("unit", "failed", "started_at", started, "finished_at", when().Format(time.RFC3339))
			deliveries = append(deliveries, failed)
			if random.Intn(2) == 0 {
				deliveries = append(deliveries, b.job("unit", "passed", "started_at", started, "finished_at", first.AddDate(0, 0, 6).Format(time.RFC3339)))
			}
			for range 1 + random.Intn(2) {
				deliveries = append(deliveries, b.dated([]string{"failed", "failed", "passed", "canceled"}[random.Intn(4)], when()))
			}
		}
		deliveries = append(deliveries, deliveries[:random.Intn(len(deliveries))]...)
		random.Shuffle(len(deliveries), func(i, j int) { deliveries[i], deliveries[j] = deliveries[j], deliveries[i] })
		for _, d := range deliveries {
			rig.append(d)
			if random.Intn(3) == 0 {
				rig.fold()
			}
			if random.Intn(4) == 0 {
				rig.counted(false)
			}
		}
		rig.fold()
		rig.counted(false)
		for _, branch := range []string{"", "main", "other"} {
			of.Branch = branch
			if diff := gocmp.Diff(rig.atOnce(of), rig.report(of)); diff != "" {
				rt.Errorf("%v (-at once +summed):\n%s", of, diff)
			}
		}
	})
}

func TestStatisticsFollowBuilds(t *testing.T) {
	t.Parallel()
	noon := time.Date(2024, 5, 31, 12, 0, 0, 0, time.UTC)
	one, two, three, four := tell("web", 1), tell("web", 2), tell("web", 3), tell("web", 4)
	main := stats.Of{Organization: "acme", Pipeline: "web", Branch: "main"}
	const hour = time.Hour
	eachStores(t, func(t *testing.T, s stores) {
		rig := newRig(t, s)
		defer rig.close()
		for _, step := range []struct {
			name       string
			deliveries []traffic.Delivery
			want       string
		}{
			{"nothing", nil, "0 builds, 0 failed"},
			{"still open", []traffic.Delivery{one.dated("failed", noon)}, "1 builds, 1 failed, streak 1"},
			{"over midnight", []traffic.Delivery{two.dated("failed", noon.Add(hour)), three.dated("passed", noon.Add(13*hour))}, "3 builds, 2 failed, streak 2, green after 13h0m0s"},
			{"the first is fixed the day after", []traffic.Delivery{one.dated("passed", noon.Add(20*hour))}, "3 builds, 1 failed, streak 1, green after 12h0m0s"},
			{"the second is canceled the month after", []traffic.Delivery{two.dated("canceled", noon.Add(30*24*hour))}, "3 builds, 0 failed"},
			{"the latest fails", []traffic.Delivery{four.dated("failed", noon.Add(-24*hour))}, "4 builds, 1 failed, streak 1"},
			{"nothing new", []traffic.Delivery{four.dated("failed", noon.Add(-24*hour))}, "4 builds, 1 failed, streak 1"},
		} {
			rig.append(step.deliveries...)
			rig.fold()
			rig.counted(step.deliveries == nil)
			r := rig.report(main)
			got := fmt.Sprintf("%d builds, %d failed", r.Builds, r.Failures)
			if r.LongestStreak > 0 {
				got += fmt.Sprintf(", streak %d", r.LongestStreak)
			}
			if r.MeanTimeToGreen != nil {
				got += fmt.Sprintf(", green after %v", time.Duration(*r.MeanTimeToGreen*float64(time.Second)))
			}
			if got != step.want {
				t.Errorf("%s: %s, want %s", step.name, got, step.want)
			}
		}
	})
}

// TestASweepCountsWhatNoEventTellsOf: builds that were there before the statistics,
// days of another format, and days whose builds are gone.
func TestASweepCountsWhatNoEventTellsOf(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		rig := newRig(t, s)
		defer rig.close()
		noon := time.Date(2024, 5, 31, 12, 0, 0, 0, time.UTC)
		rig.append(tell("web", 1).dated("failed", noon), tell("web", 2).dated("passed", noon.Add(48*time.Hour)))
		rig.fold()
		rig.counted(true)
		web := stats.Of{Organization: "acme", Pipeline: "web"}
		want := rig.atOnce(web)
		if diff := gocmp.Diff(want, rig.report(web)); diff != "" {
			t.Errorf("at the first start (-want +got):\n%s", diff)
		}
		gone := startOfDay(noon.AddDate(0, 0, -9))
		for day, format := range map[time.Time]int{gone: stats.Format, startOfDay(noon): stats.Format + 1} {
			if err := rig.setTallies(db.DayTallies{Day: day, Format: format, Tallies: []db.Tally{{Builds: 7, Data: []byte("x")}, {Organization: "acme", Pipeline: "web", Builds: 7, Data: []byte("x")}}}); err != nil {
				t.Fatal(err)
			}
		}
		rig.counted(true)
		if diff := gocmp.Diff(want, rig.report(web)); diff != "" {
			t.Errorf("after a sweep (-want +got):\n%s", diff)
		}
	})
}

// TestStatisticsOfAnotherReplicaAreFenced: who took them over before moves the
// cursor no more.
func TestStatisticsOfAnotherReplicaAreFenced(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		rig := newRig(t, s)
		defer rig.close()
		old := &statistician{store: rig.db, log: slog.New(slog.DiscardHandler)}
		at, err := old.begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		rig.counted(true)
		if _, err := old.count(t.Context(), at, true); err == nil {
			t.Error("the cursor was moved")
		}
	})
}

// What a rebuild corrects is counted anew, whoever counts.
func TestStatisticsFollowARebuild(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		r := newRig(t, s)
		defer r.close()
		r.append(tell("web", 1).dated("failed", time.Date(2024, 5, 31, 12, 0, 0, 0, time.UTC)))
		r.fold()
		rows, err := r.db.Find(t.Context(), "acme", "web", 1)
		if err != nil || len(rows) != 1 {
			t.Fatal(rows, err)
		}
		wrong := rows[0]
		b, err := build.Decode(wrong.Snapshot)
		if err != nil {
			t.Fatal(err)
		}
		b.State = "passed"
		wrong.State, wrong.Status, wrong.Class, wrong.Snapshot = "passed", b.Status(), b.Class(), build.Encode(b)
		if err := r.db.Commit(t.Context(), db.Batch{Cursor: "wrong", Rows: []db.Row{wrong}}); err != nil {
			t.Fatal(err)
		}
		counts := &statistician{store: r.db, log: slog.New(slog.DiscardHandler)}
		at, err := counts.begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if at, err = counts.count(t.Context(), at, true); err != nil {
			t.Fatal(err)
		}
		if got := r.report(stats.Of{}); got.Failures != 0 || got.Builds != 1 {
			t.Fatalf("%d failures of %d builds are counted of the wrong row", got.Failures, got.Builds)
		}
		if err := r.tracker.rebuild(t.Context(), &rebuildRequest{ctx: t.Context()}); err != nil {
			t.Fatal(err)
		}
		if _, err := counts.count(t.Context(), at, false); !errors.Is(err, db.ErrFenced) {
			t.Errorf("whoever counted before goes on: %v", err)
		}
		r.counted(true)
		if got := r.report(stats.Of{}); got.Failures != 1 || got.Builds != 1 {
			t.Errorf("%d failures of %d builds are counted after the rebuild, want 1 of 1", got.Failures, got.Builds)
		}
	})
}
