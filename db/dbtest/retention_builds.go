package dbtest

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/stream"
)

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
