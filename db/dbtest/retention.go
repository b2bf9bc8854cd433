package dbtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/stream"
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

func testLateEvent(t *testing.T, s db.Store, aging Aging) {
	for n := range 3 {
		d := delivery("a", n)
		d.Team = "web"
		mustAppend(t, s, d)
	}
	aging(t, 100)
	readAll(t, s, "a")
	wantDays(t, retain(t, s, query()), db.DroppedDay{Team: "web", Position: 3, Events: 3})

	next := map[string]int64{"a": 3}
	if diff := cmp.Diff(next, must(s.NextSeqs(t.Context(), []string{"a"}))(t)); diff != "" {
		t.Errorf("next seqs: %s", diff)
	}
	if diff := cmp.Diff(db.Appended{Position: 4, Seq: 3}, mustAppend(t, s, delivery("a", 3))); diff != "" {
		t.Error(diff)
	}
	commit(t, s, 3, 4, db.Batch{Own: []db.Own{{ID: stream.ID{1}, BuildID: "a", Type: stream.TypeStatus, Data: []byte(`{}`)}}})
	wantSeqs(t, s, "a", 3, 4)
	wantPositions(t, s, 4, 5)
	// It is of today now.
	wantDays(t, retain(t, s, query()))
	aging(t, 100)
	readAll(t, s, "a")
	wantDays(t, retain(t, s, query()), db.DroppedDay{Team: "web", Position: 5, Events: 2})
}

func testUntracked(t *testing.T, s db.Store, aging Aging) {
	mustAppend(t, s, delivery("a", 0))
	aging(t, 100)
	readAll(t, s)
	wantDays(t, retain(t, s, query()), db.DroppedDay{Team: "default", Position: 1, Events: 1})
	if got := must(s.BuildIDs(t.Context(), "", 10))(t); len(got) != 0 {
		t.Errorf("builds %q are left", got)
	}
	if a := mustAppend(t, s, delivery("a", 1)); a.Seq != 0 {
		t.Errorf("seq %d of a build that nobody knows", a.Seq)
	}
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

func testOldDeliveries(t *testing.T, s db.Store, aging Aging) {
	for n := range 7 {
		mustAppend(t, s, delivery("a", n))
	}
	aging(t, 20)
	mustAppend(t, s, delivery("b", 0))
	aging(t, 11)
	if n := retain(t, s, query()).Deliveries; n != 7 {
		t.Errorf("%d deliveries forgotten, want 7", n)
	}
	if !mustAppend(t, s, delivery("b", 0)).Duplicate {
		t.Error("a delivery of 11 days ago is taken for a new one")
	}
	if mustAppend(t, s, delivery("a", 0)).Duplicate {
		t.Error("a delivery of 31 days ago is known")
	}
}

func testOldBuilds(t *testing.T, s db.Store, aging Aging) {
	finished := func(id string, days int) db.Row {
		r := row(id, 1)
		r.FinishedAt = time.Now().AddDate(0, 0, -days)
		r.CreatedAt = time.Now().AddDate(0, 0, -500)
		return r
	}
	mustAppend(t, s, delivery("a", 0))
	mustAppend(t, s, delivery("late", 0))
	aging(t, 100)
	mustAppend(t, s, delivery("young", 0)) // recorded today, finished long ago
	var wants []db.Want
	for _, id := range []string{"a", "late", "young"} {
		wants = append(wants, db.Want{BuildID: id, Kind: "failed", Rev: 1, Create: true})
	}
	commit(t, s, 0, 3, db.Batch{Rows: []db.Row{finished("a", 401), finished("late", 399), finished("young", 401), finished("unstamped", 401)}, Wants: wants})
	if got := retain(t, s, query()); got.Builds != 2 {
		t.Errorf("%d builds forgotten, want 2: %+v", got.Builds, got)
	}
	left := ids(must(s.Builds(t.Context(), []string{"a", "late", "young", "unstamped"}))(t))
	slices.Sort(left)
	if diff := cmp.Diff([]string{"late", "young"}, left); diff != "" {
		t.Error(diff)
	}
	var told []string
	for _, n := range must(s.Notices(t.Context(), []string{"a", "late", "young"}))(t) {
		told = append(told, n.BuildID)
	}
	slices.Sort(told)
	if diff := cmp.Diff([]string{"late", "young"}, told); diff != "" {
		t.Errorf("notices: %s", diff)
	}
	want := map[string]int64{"late": 1, "young": 1}
	if diff := cmp.Diff(want, must(s.NextSeqs(t.Context(), []string{"a", "late", "young"}))(t)); diff != "" {
		t.Errorf("stamps: %s", diff)
	}
}

func testUnfinishedBuilds(t *testing.T, s db.Store, aging Aging) {
	for _, id := range []string{"created", "recorded", "running"} {
		mustAppend(t, s, delivery(id, 0))
	}
	aging(t, 401)
	unfinished := func(id string, created time.Time) db.Row {
		r := row(id, 1)
		r.CreatedAt, r.FinishedAt = created, time.Time{}
		return r
	}
	commit(t, s, 0, 3, db.Batch{Rows: []db.Row{
		unfinished("created", time.Now().AddDate(0, 0, -401)), unfinished("recorded", time.Time{}), unfinished("running", time.Now()),
	}})
	if got := retain(t, s, query()); got.Builds != 2 {
		t.Errorf("%d builds forgotten, want 2: %+v", got.Builds, got)
	}
	wantRows(t, must(s.Builds(t.Context(), []string{"created", "recorded"}))(t))
}

func testRetainAtOnce(t *testing.T, s db.Store, aging Aging) {
	const days = 6
	for n := range days {
		mustAppend(t, s, delivery(fmt.Sprint(n), 0))
		aging(t, 1)
	}
	aging(t, 100)
	readAll(t, s)
	var dropped, busy atomic.Int64
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			got, err := s.Retain(t.Context(), query())
			if err != nil {
				t.Error(err)
			}
			for _, d := range got.Days {
				dropped.Add(d.Events)
			}
			if got.Elsewhere {
				busy.Add(1)
			}
		})
	}
	group.Wait()
	if dropped.Load() != days || busy.Load() == 4 {
		t.Errorf("%d events dropped, want %d; %d of 4 calls found another", dropped.Load(), days, busy.Load())
	}
	wantPositions(t, s)
}

// testRetainCutOff gives call after call a little more time. Whatever point each
// comes to, what it leaves is told apart from what is whole.
func testRetainCutOff(t *testing.T, s db.Store, aging Aging) {
	const days, each = 8, 40
	for d := range days {
		var group sync.WaitGroup
		for n := range each {
			group.Go(func() { mustAppend(t, s, delivery(fmt.Sprintf("%d-%d", d, n/4), n)) })
		}
		group.Wait()
		aging(t, 1)
	}
	aging(t, 100)
	mustAppend(t, s, delivery("young", 0))
	readAll(t, s)
	var reported int64
	for allowed := time.Millisecond; ; allowed += 500 * time.Microsecond {
		ctx, cancel := context.WithTimeout(t.Context(), allowed)
		got, err := s.Retain(ctx, query())
		cancel()
		for _, d := range got.Days {
			reported += d.Events
		}
		if err == nil && !got.Elsewhere {
			break
		}
		if err != nil && !errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			t.Fatal(err)
		}
		upTo := must(s.Dropped(t.Context()))(t)
		left := positions(must(s.ReadAll(t.Context(), db.ReadQuery{Limit: 10000}))(t))
		for at := upTo + 1; at <= days*each+1; at++ {
			if !slices.Contains(left, at) {
				t.Fatalf("event %d is missing, dropped up to %d", at, upTo)
			}
		}
	}
	wantPositions(t, s, days*each+1)
	wantDropped(t, s, days*each)
	if reported > days*each {
		t.Errorf("%d events reported of %d", reported, days*each)
	}
	wantDays(t, retain(t, s, query()))
}

func testRetainMeanwhile(t *testing.T, s db.Store, aging Aging) {
	const days, writers = 10, 4
	for d := range days {
		for n := range 3 {
			mustAppend(t, s, delivery(fmt.Sprint(d), n))
		}
		aging(t, 1)
	}
	aging(t, 100)
	var known []string
	for d := range days {
		known = append(known, fmt.Sprint(d))
	}
	readAll(t, s, known...)

	stop := make(chan struct{})
	var appended atomic.Int64
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				// Of old builds too: they come to stand in today's partition.
				id := fmt.Sprint(n % (2 * days))
				d := delivery(id, 1000+n*writers+w)
				if _, err := s.Append(t.Context(), d); err != nil {
					t.Errorf("append: %v", err)
					return
				}
				appended.Add(1)
				if _, err := s.ReadBuild(t.Context(), id, 0, 1000); err != nil {
					t.Errorf("read build: %v", err)
					return
				}
				if _, err := s.ReadAll(t.Context(), db.ReadQuery{After: int64(n)}); err != nil {
					t.Errorf("read all: %v", err)
					return
				}
			}
		})
	}
	var gone int64
	for gone < 3*days {
		// The cursor follows, so that what came just before a day was sealed does
		// not keep it.
		at := must(s.Cursor(t.Context(), "tracker"))(t).Position
		commit(t, s, at, must(s.Head(t.Context()))(t), db.Batch{})
		got, err := s.Retain(t.Context(), query())
		if err != nil {
			t.Error(err)
			break
		}
		for _, d := range got.Days {
			gone += d.Events
		}
	}
	close(stop)
	group.Wait()
	var read int64
	for after := int64(0); ; {
		events := must(s.ReadAll(t.Context(), db.ReadQuery{After: after}))(t)
		if len(events) == 0 {
			break
		}
		read += int64(len(events))
		after = events[len(events)-1].Position
	}
	if want := 3*days + appended.Load() - gone; read != want {
		t.Errorf("%d events are left, want %d", read, want)
	}
}
