package dbtest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/db"
)

var tallies = map[string]func(*testing.T, db.Store){
	"finished builds are read by when they did":     testFinished,
	"incidents are found where they end":            testIncidents,
	"builds touch the day that ends their row":      testTouchedDays,
	"days that were not counted are stale":          testStaleDays,
	"tallies of a day are replaced":                 testTallies,
	"tallies of an earlier generation are refused":  testTallyFence,
	"names in tallies are kept as they are":         testTallyNames,
	"statistics of an empty store":                  testNoStats,
	"builds of impossible times do not get counted": testImpossibleTimes,
}

// theDay is the day of start.
func theDay() time.Time { return start().Truncate(24 * time.Hour) }

// branched returns a build of a branch that finished some hours after the start of
// theDay.
func branched(number int64, class build.Class, hours float64) db.Row {
	r := row(fmt.Sprintf("%s-%d", []string{"none", "failed", "passed"}[class], number), 1)
	r.Organization, r.Pipeline, r.Branch, r.Number, r.Class = "acme", "web", "main", number, class
	r.FinishedAt = theDay().Add(time.Duration(hours * float64(time.Hour)))
	return r
}

// failure is a build of a row of failures.
func failure(number int64, hours float64, first int64) db.Row {
	r := branched(number, build.ClassFailed, hours)
	r.Streak = build.Streak{Failures: int(number-first) + 1, FirstFailed: first}
	return r
}

func testFinished(t *testing.T, s db.Store) {
	var rows []db.Row
	for i, hours := range []float64{-0.01, 0, 5, 5, 5, 23.99, 24} {
		r := branched(int64(i), build.ClassNone, hours)
		r.ID = string(rune('a' + i))
		rows = append(rows, r)
	}
	running := branched(9, build.ClassNone, 0)
	running.FinishedAt = time.Time{}
	commit(t, s, 0, 1, db.Batch{Rows: append(rows, running)})
	var got []string
	q := db.FinishedQuery{From: theDay(), To: theDay().Add(24 * time.Hour), Limit: 2}
	for {
		page := must(s.Finished(t.Context(), q))(t)
		if len(page) == 0 {
			break
		}
		got = append(got, ids(page)...)
		q.From, q.AfterID = page[len(page)-1].FinishedAt, page[len(page)-1].ID
	}
	if diff := cmp.Diff([]string{"b", "c", "d", "e", "f"}, got); diff != "" {
		t.Errorf("builds (-want +got):\n%s", diff)
	}
}

func testIncidents(t *testing.T, s db.Store) {
	older := branched(6, build.ClassPassed, 3) // of a pipeline that was made again
	older.ID, older.CreatedAt = "older", start().Add(-time.Hour)
	elsewhere := branched(7, build.ClassPassed, 6)
	elsewhere.ID, elsewhere.Branch = "elsewhere", "feature"
	commit(t, s, 0, 1, db.Batch{Rows: []db.Row{
		failure(1, -100, 1), branched(2, build.ClassPassed, 1), // began days before
		branched(3, build.ClassPassed, 2), // green before
		failure(4, 2.5, 4), branched(5, build.ClassNone, 2.7), older, failure(6, 2.8, 4), elsewhere,
		branched(7, build.ClassPassed, 4),                   // two failures, one passed over
		failure(8, 6, 8), branched(9, build.ClassPassed, 5), // was over before it began
		failure(10, 7, 10), branched(11, build.ClassPassed, 25), // ends the day after
		failure(12, 8, 12), // goes on
	}})
	incident := func(began, ended float64) db.Incident {
		return db.Incident{
			Organization: "acme", Pipeline: "web", Branch: "main",
			Began: branched(0, 0, began).FinishedAt, Ended: branched(0, 0, ended).FinishedAt,
		}
	}
	for name, tc := range map[string]struct {
		day  int
		want []db.Incident
	}{
		"that day":         {0, []db.Incident{incident(-100, 1), incident(2.5, 4)}},
		"the next":         {1, []db.Incident{incident(7, 25)}},
		"the day it began": {-5, nil},
	} {
		from := theDay().AddDate(0, 0, tc.day)
		got := must(s.Incidents(t.Context(), from, from.AddDate(0, 0, 1)))(t)
		if diff := cmp.Diff(tc.want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func testTouchedDays(t *testing.T, s db.Store) {
	running := branched(20, build.ClassNone, 0)
	running.FinishedAt = time.Time{}
	commit(t, s, 0, 1, db.Batch{Rows: []db.Row{
		failure(1, 1, 1), failure(2, 30, 1), branched(3, build.ClassNone, 60), branched(4, build.ClassPassed, 80), branched(5, build.ClassPassed, 130),
		running,
	}})
	for id, want := range map[string][]int{
		"failed-1": {0, 3}, "failed-2": {1, 3}, "none-3": {2, 3}, "passed-4": {3, 5}, "passed-5": {5}, "none-20": nil, "unknown": nil,
	} {
		wantStatDays(t, must(s.TouchedDays(t.Context(), []string{id}))(t), want...)
	}
	wantStatDays(t, must(s.TouchedDays(t.Context(), []string{"failed-1", "failed-2", "passed-5"}))(t), 0, 1, 3, 5)
}

// wantStatDays compares days with those some after theDay, in any order.
func wantStatDays(t *testing.T, got []time.Time, want ...int) {
	t.Helper()
	seen := make(map[time.Time]bool)
	for _, n := range want {
		seen[theDay().AddDate(0, 0, n)] = true
	}
	found := make(map[time.Time]bool)
	for _, day := range got {
		found[day] = true
	}
	if diff := cmp.Diff(seen, found); diff != "" || len(got) != len(found) {
		t.Errorf("days (-want +got), each once:\n%s", diff)
	}
}

func testStaleDays(t *testing.T, s db.Store) {
	commit(t, s, 0, 1, db.Batch{Rows: []db.Row{
		branched(1, build.ClassNone, 0), branched(2, build.ClassNone, 23.99), branched(3, build.ClassNone, 24),
	}})
	count := func(day int, n int64) {
		t.Helper()
		setTallies(t, s, db.DayTallies{Day: theDay().AddDate(0, 0, day), Format: 7, Tallies: []db.Tally{{Builds: n, Data: []byte("x")}, {Organization: "acme", Pipeline: "web", Builds: n, Data: []byte("x")}}})
	}
	want := func(format int, days ...int) {
		t.Helper()
		wantStatDays(t, must(s.StaleDays(t.Context(), format))(t), days...)
	}
	want(7, 0, 1)
	count(0, 1)
	count(1, 1)
	count(9, 1)
	want(7, 0, 9)
	count(0, 2)
	setTallies(t, s, db.DayTallies{Day: theDay().AddDate(0, 0, 9), Format: 7})
	want(7)
	want(8, 0, 1)
	if diff := cmp.Diff([]time.Time{theDay().AddDate(0, 0, 1), theDay()}, must(s.StaleDays(t.Context(), 8))(t)); diff != "" {
		t.Errorf("the latest is not first: %s", diff)
	}
	noError(t, s.StaleAll(t.Context(), "counter"))
	want(7, 0, 1)
	if err := s.SetTallies(t.Context(), db.DayTallies{Cursor: "counter", Generation: "one", Day: theDay(), Format: 7}); !errors.Is(err, db.ErrFenced) {
		t.Errorf("whoever counted before goes on: %v", err)
	}
	count(1, 1)
	want(7, 0)
}

func testTallies(t *testing.T, s db.Store) {
	of := func(branch string, builds int64, data string) db.Tally {
		tally := db.Tally{Branch: branch, Builds: builds, Data: []byte(data)}
		if branch != "" {
			tally.Organization, tally.Pipeline = "acme", "web"
		}
		return tally
	}
	set := func(day int, tallies ...db.Tally) {
		t.Helper()
		setTallies(t, s, db.DayTallies{Day: theDay().AddDate(0, 0, day), Format: 1, Tallies: tallies})
	}
	want := func(branch string, since int, want ...db.Tally) {
		t.Helper()
		asked := of(branch, 0, "")
		got := must(s.Tallies(t.Context(), db.TallyQuery{
			Organization: asked.Organization, Pipeline: asked.Pipeline, Branch: branch, Since: theDay().AddDate(0, 0, since), Format: 1,
		}))(t)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("tallies of %q (-want +got):\n%s", branch, diff)
		}
	}
	on := func(day int, tally db.Tally) db.Tally {
		tally.Day = theDay().AddDate(0, 0, day)
		return tally
	}
	set(0, of("", 3, "abc"), of("main", 2, "ab"), of("feature", 1, "c"))
	set(1, of("", 1, "d"), of("main", 1, "d"))
	set(-1, of("main", 9, "z"))
	set(0, of("", 4, "abcd"), of("main", 2, "ab"), of("other", 2, "cd"))
	want("", -1, on(0, of("", 4, "abcd")), on(1, of("", 1, "d")))
	want("main", 0, on(0, of("main", 2, "ab")), on(1, of("main", 1, "d")))
	want("feature", -9)
	want("other", 0, on(0, of("other", 2, "cd")))
	setTallies(t, s, db.DayTallies{Day: theDay(), Format: 2, Tallies: []db.Tally{of("main", 2, "ab")}})
	want("main", 0, on(1, of("main", 1, "d"))) // of another format
}

// setTallies writes tallies as a reader that has begun a generation.
func setTallies(t *testing.T, s db.Store, d db.DayTallies) {
	t.Helper()
	d.Cursor, d.Generation = "counter", "one"
	noError(t, s.Begin(t.Context(), d.Cursor, db.Cursor{Generation: d.Generation}))
	noError(t, s.SetTallies(t.Context(), d))
}

func testTallyFence(t *testing.T, s db.Store) {
	d := db.DayTallies{Cursor: "counter", Generation: "one", Day: theDay(), Format: 1, Tallies: []db.Tally{{Builds: 1, Data: []byte("x")}}}
	if err := s.SetTallies(t.Context(), d); !errors.Is(err, db.ErrFenced) {
		t.Errorf("before its generation began: %v", err)
	}
	setTallies(t, s, d)
	noError(t, s.Begin(t.Context(), "counter", db.Cursor{Generation: "two"}))
	d.Tallies = nil
	if err := s.SetTallies(t.Context(), d); !errors.Is(err, db.ErrFenced) {
		t.Errorf("after the next one began: %v", err)
	}
	if got := must(s.Tallies(t.Context(), db.TallyQuery{Since: theDay(), Format: 1}))(t); len(got) != 1 {
		t.Errorf("the refused write left %v", got)
	}
}

func testTallyNames(t *testing.T, s db.Store) {
	for _, branch := range []string{`"quoted"`, "<a&b>", "ünï/日本", "new\nline", `back\slash`, "null"} {
		day := theDay()
		setTallies(t, s, db.DayTallies{Day: day, Format: 1, Tallies: []db.Tally{{Organization: "acme", Pipeline: "web", Branch: branch, Data: []byte("x")}}})
		setTallies(t, s, db.DayTallies{Day: day, Format: 1, Tallies: []db.Tally{{Organization: "acme", Pipeline: "web", Branch: branch, Data: []byte("y")}}})
		got := must(s.Tallies(t.Context(), db.TallyQuery{Organization: "acme", Pipeline: "web", Branch: branch, Since: day, Format: 1}))(t)
		if len(got) != 1 || got[0].Branch != branch || string(got[0].Data) != "y" {
			t.Errorf("of branch %q there is %+v", branch, got)
		}
	}
}

func testNoStats(t *testing.T, s db.Store) {
	q := db.FinishedQuery{From: theDay(), To: theDay().AddDate(0, 0, 1)}
	if got := must(s.Finished(t.Context(), q))(t); len(got) != 0 {
		t.Errorf("finished builds %v", got)
	}
	wantStatDays(t, must(s.StaleDays(t.Context(), 1))(t))
	wantStatDays(t, must(s.TouchedDays(t.Context(), nil))(t))
	setTallies(t, s, db.DayTallies{Day: theDay(), Format: 1})
}

func testImpossibleTimes(t *testing.T, s db.Store) {
	var rows []db.Row
	for i, at := range []time.Time{time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC), time.Date(1969, 12, 31, 23, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 0, 0, 0, time.UTC)} {
		r := branched(int64(i+1), build.ClassNone, 0)
		r.FinishedAt = at
		rows = append(rows, r)
	}
	commit(t, s, 0, 1, db.Batch{Rows: rows})
	want := []time.Time{time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)}
	if diff := cmp.Diff(want, must(s.StaleDays(t.Context(), 1))(t)); diff != "" {
		t.Errorf("stale days (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, must(s.TouchedDays(t.Context(), ids(rows)))(t)); diff != "" {
		t.Errorf("touched days (-want +got):\n%s", diff)
	}
}
