package dbtest

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/build-tracker/build-tracker/db"
)

// Aging makes all that a store has so many days older, but for the builds' rows.
type Aging func(t *testing.T, days int)

// Retention runs the suite of what is removed, and when.
func Retention(t *testing.T, open func(t *testing.T) (db.Store, Aging)) {
	for name, test := range map[string]func(*testing.T, db.Store, Aging){
		"an old day is dropped, and only it":           testDropDay,
		"a day is kept until every cursor is past it":  testCursorBehind,
		"a day that nobody reads is kept":              testNoCursor,
		"at twice its age a day goes unread":           testOverdue,
		"a team's days have an age of their own":       testTeamsAge,
		"a build outlives its events":                  testLateEvent,
		"a build without a row goes with its events":   testUntracked,
		"what was set aside goes with its event":       testSetAsideDropped,
		"a second delivery is known for a while":       testOldDeliveries,
		"builds are forgotten after their events":      testOldBuilds,
		"a build that never finished is forgotten too": testUnfinishedBuilds,
		"of several calls one does it":                 testRetainAtOnce,
		"what is cut off is finished by the next call": testRetainCutOff,
		"appends and reads go on meanwhile":            testRetainMeanwhile,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, aging := open(t)
			test(t, store, aging)
		})
	}
}

const day = 24 * time.Hour

// query is what is configured unless somebody says otherwise.
func query() db.RetainQuery {
	return db.RetainQuery{Now: time.Now(), Events: 90 * day, Builds: 400 * day, Deliveries: 30 * day}
}

func retain(t *testing.T, s db.Store, q db.RetainQuery) db.Retained {
	t.Helper()
	return must(s.Retain(t.Context(), q))(t)
}

// wantDays compares all but the days themselves.
func wantDays(t *testing.T, got db.Retained, want ...db.DroppedDay) {
	t.Helper()
	if diff := cmp.Diff(want, got.Days, cmpopts.IgnoreFields(db.DroppedDay{}, "Day"), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("dropped: %s", diff)
	}
}

func wantPositions(t *testing.T, s db.Store, want ...int64) {
	t.Helper()
	got := positions(must(s.ReadAll(t.Context(), db.ReadQuery{Limit: 10000}))(t))
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the stream: %s", diff)
	}
}

func wantSeqs(t *testing.T, s db.Store, build string, want ...int64) {
	t.Helper()
	var got []int64
	for _, e := range must(s.ReadBuild(t.Context(), build, 0, 1000))(t) {
		got = append(got, e.Seq)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("build %s: %s", build, diff)
	}
}

func wantDropped(t *testing.T, s db.Store, want int64) {
	t.Helper()
	if got := must(s.Dropped(t.Context()))(t); got != want {
		t.Errorf("dropped up to %d, want %d", got, want)
	}
}

// readAll moves the tracker's cursor to the end, with rows for these builds.
func readAll(t *testing.T, s db.Store, builds ...string) {
	t.Helper()
	rows := make([]db.Row, len(builds))
	for i, id := range builds {
		rows[i] = row(id, 1)
		rows[i].CreatedAt, rows[i].FinishedAt = time.Now(), time.Now()
	}
	at := must(s.Cursor(t.Context(), "tracker"))(t).Position
	commit(t, s, at, must(s.Head(t.Context()))(t), db.Batch{Rows: rows})
}

func testDropDay(t *testing.T, s db.Store, aging Aging) {
	mustAppend(t, s, delivery("a", 0))
	mustAppend(t, s, delivery("b", 0))
	mustAppend(t, s, delivery("", 0))
	recorded := must(s.ReadBuild(t.Context(), "a", 0, 1))(t)[0].Time
	aging(t, 60)
	mustAppend(t, s, delivery("c", 0))
	mustAppend(t, s, delivery("a", 1)) // in the partition of its build
	aging(t, 31)
	mustAppend(t, s, delivery("d", 0))
	readAll(t, s, "a", "b", "c", "d")
	wantDropped(t, s, 0)

	// The last moment at which the day is young, and the first at which it is old.
	q := query()
	first := recorded.Truncate(day).AddDate(0, 0, -91)
	q.Now = first.AddDate(0, 0, 1).Add(q.Events - time.Microsecond)
	wantDays(t, retain(t, s, q))
	q.Now = q.Now.Add(time.Microsecond)
	got := retain(t, s, q)
	want := []db.DroppedDay{{Team: "default", Day: first, Position: 5, Events: 4}}
	if diff := cmp.Diff(want, slices.DeleteFunc(got.Days, func(d db.DroppedDay) bool { return d.Events == 0 })); diff != "" {
		t.Error(diff)
	}
	wantPositions(t, s, 4, 6)
	wantSeqs(t, s, "a")
	wantSeqs(t, s, "c", 0)
	wantDropped(t, s, 5)
	wantDays(t, retain(t, s, q))
}

func testCursorBehind(t *testing.T, s db.Store, aging Aging) {
	mustAppend(t, s, delivery("a", 0))
	mustAppend(t, s, delivery("a", 1))
	aging(t, 100)
	noError(t, s.Begin(t.Context(), "export", db.Cursor{Generation: "one"}))
	readAll(t, s, "a")
	wantDays(t, retain(t, s, query()))
	noError(t, s.Commit(t.Context(), db.Batch{Cursor: "export", Generation: "one", To: 1}))
	wantDays(t, retain(t, s, query()))
	wantSeqs(t, s, "a", 0, 1)
	wantDropped(t, s, 0)
	noError(t, s.Commit(t.Context(), db.Batch{Cursor: "export", Generation: "one", From: 1, To: 2}))
	wantDays(t, retain(t, s, query()), db.DroppedDay{Team: "default", Position: 2, Events: 2})
}

func testNoCursor(t *testing.T, s db.Store, aging Aging) {
	mustAppend(t, s, delivery("a", 0))
	aging(t, 100)
	wantDays(t, retain(t, s, query()))
	wantSeqs(t, s, "a", 0)
}

func testOverdue(t *testing.T, s db.Store, aging Aging) {
	for n := range 5 {
		mustAppend(t, s, delivery("a", n))
	}
	aging(t, 182)
	noError(t, s.Begin(t.Context(), "export", db.Cursor{Generation: "one"}))
	noError(t, s.Commit(t.Context(), db.Batch{Cursor: "export", Generation: "one", To: 2}))
	commit(t, s, 0, 4, db.Batch{})
	wantDays(t, retain(t, s, query()), db.DroppedDay{Team: "default", Position: 5, Events: 5, Lost: 3, Behind: "export, tracker"})
	wantPositions(t, s)
	wantDropped(t, s, 5)
}

func testTeamsAge(t *testing.T, s db.Store, aging Aging) {
	for n, team := range []string{"default", `it's "quick" \`, "slow", "gone"} {
		d := delivery(team, n)
		d.Team = team
		mustAppend(t, s, d)
	}
	aging(t, 100)
	readAll(t, s)
	q := query()
	q.Teams = map[string]time.Duration{`it's "quick" \`: day, "slow": 200 * day, "unknown": day}
	wantDays(t, retain(t, s, q),
		db.DroppedDay{Team: "default", Position: 1, Events: 1},
		db.DroppedDay{Team: "gone", Position: 4, Events: 1},
		db.DroppedDay{Team: `it's "quick" \`, Position: 2, Events: 1})
	wantPositions(t, s, 3)
	wantDropped(t, s, 4)
}

func testSetAsideDropped(t *testing.T, s db.Store, aging Aging) {
	mustAppend(t, s, delivery("a", 0))
	aging(t, 100)
	mustAppend(t, s, delivery("b", 0))
	noError(t, s.SetAside(t.Context(), 1, "old"))
	noError(t, s.SetAside(t.Context(), 2, "young"))
	readAll(t, s)
	wantDays(t, retain(t, s, query()), db.DroppedDay{Team: "default", Position: 1, Events: 1})
	if n := must(s.CountSetAside(t.Context()))(t); n != 1 {
		t.Errorf("%d events set aside, want 1", n)
	}
}
