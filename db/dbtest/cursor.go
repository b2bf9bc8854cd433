package dbtest

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/db"
)

var cursors = map[string]func(*testing.T, db.Store){
	"a cursor starts at the beginning":          testNewCursor,
	"a batch moves its cursor":                  testCommit,
	"a batch keeps a state beside its cursor":   testState,
	"a fenced batch writes nothing":             testFence,
	"of two trackers one commits":               testOneTracker,
	"a generation ends the one before":          testGeneration,
	"a generation begins where it says":         testGenerationFenced,
	"events are set aside":                      testSetAside,
	"no text blocks the tracker":                testDirtyBatch,
	"an empty batch may move the cursor":        func(t *testing.T, s db.Store) { commit(t, s, 0, 9, db.Batch{}) },
	"a batch may name a build and notice twice": testRepeats,
}

// commit writes b for the cursor tracker.
func commit(t *testing.T, s db.Store, from, to int64, b db.Batch) {
	t.Helper()
	b.Cursor, b.From, b.To = "tracker", from, to
	noError(t, s.Commit(t.Context(), b))
}

func wantCursor(t *testing.T, s db.Store, name string, want db.Cursor) {
	t.Helper()
	if diff := cmp.Diff(want, must(s.Cursor(t.Context(), name))(t)); diff != "" {
		t.Errorf("cursor %s: %s", name, diff)
	}
}

func testNewCursor(t *testing.T, s db.Store) {
	wantCursor(t, s, "tracker", db.Cursor{})
	wantCursor(t, s, "a\x00b", db.Cursor{})
}

func testCommit(t *testing.T, s db.Store) {
	commit(t, s, 0, 10, db.Batch{Rows: []db.Row{row("a", 1)}})
	wantCursor(t, s, "tracker", db.Cursor{Position: 10})
	commit(t, s, 10, 12, db.Batch{})
	wantCursor(t, s, "tracker", db.Cursor{Position: 12})
	wantCursor(t, s, "another", db.Cursor{})
}

func testState(t *testing.T, s db.Store) {
	noError(t, s.Begin(t.Context(), "reader", db.Cursor{Generation: "a"}))
	batch := db.Batch{Cursor: "reader", Generation: "a", State: `{"offset":"ünï"}`}
	noError(t, s.Commit(t.Context(), batch))
	want := db.Cursor{Generation: "a", State: batch.State}
	wantCursor(t, s, "reader", want)
	batch.To, batch.State = 5, "" // stays as it was
	noError(t, s.Commit(t.Context(), batch))
	want.Position = 5
	wantCursor(t, s, "reader", want)
	batch.State = "another"
	wantError(t, s.Commit(t.Context(), batch), db.ErrFenced)
	wantCursor(t, s, "reader", want)
	wantCursor(t, s, "other", db.Cursor{})
	noError(t, s.Begin(t.Context(), "reader", db.Cursor{Position: 5, Generation: "b"}))
	want.Generation = "b"
	wantCursor(t, s, "reader", want)
}

func testFence(t *testing.T, s db.Store) {
	commit(t, s, 0, 10, db.Batch{Rows: []db.Row{row("a", 1)}})
	for name, b := range map[string]db.Batch{
		"an older position": {Cursor: "tracker", From: 0, To: 11},
		"a later position":  {Cursor: "tracker", From: 11, To: 12},
		"a new cursor":      {Cursor: "new", From: 5, To: 6},
	} {
		b.Rows = []db.Row{row("a", 99), row("b", 1)}
		b.Wants = []db.Want{{BuildID: "a", Kind: "failed", Rev: 1, Create: true}}
		b.Aside = []db.Aside{{Position: 1, Reason: "x"}}
		if err := s.Commit(t.Context(), b); err == nil {
			t.Errorf("%s: committed", name)
		} else {
			wantError(t, err, db.ErrFenced)
		}
	}
	wantCursor(t, s, "tracker", db.Cursor{Position: 10})
	wantRows(t, must(s.Builds(t.Context(), []string{"a", "b"}))(t), row("a", 1))
	if n := must(s.CountDue(t.Context()))(t); n != 0 {
		t.Errorf("%d notices due, want 0", n)
	}
	if n := must(s.CountSetAside(t.Context()))(t); n != 0 {
		t.Errorf("%d events set aside, want 0", n)
	}
}

func testOneTracker(t *testing.T, s db.Store) {
	const trackers, rounds = 6, 5
	for round := range int64(rounds) {
		var won atomic.Int64
		var group sync.WaitGroup
		for n := range int64(trackers) {
			group.Go(func() {
				err := s.Commit(t.Context(), db.Batch{
					Cursor: "tracker", From: round, To: round + 1, Rows: []db.Row{row("a", n)},
				})
				if err == nil {
					won.Add(1)
				} else {
					wantError(t, err, db.ErrFenced)
				}
			})
		}
		group.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d of %d trackers committed", won.Load(), trackers)
		}
	}
}

func testGeneration(t *testing.T, s db.Store) {
	first := db.Cursor{Generation: "one"}
	noError(t, s.Begin(t.Context(), "tracker", first))
	wantCursor(t, s, "tracker", first)
	noError(t, s.Commit(t.Context(), db.Batch{Cursor: "tracker", Generation: "one", To: 5}))
	second := db.Cursor{Position: 5, Generation: "two"}
	noError(t, s.Begin(t.Context(), "tracker", second))
	late := db.Batch{Cursor: "tracker", Generation: "one", From: 5, To: 6, Rows: []db.Row{row("a", 1)}}
	wantError(t, s.Commit(t.Context(), late), db.ErrFenced)
	wantCursor(t, s, "tracker", second)
	if n := must(s.CountBuilds(t.Context()))(t); n != 0 {
		t.Errorf("a batch of an earlier generation wrote %d builds", n)
	}
	late.Generation = "two"
	noError(t, s.Commit(t.Context(), late))
}

func testGenerationFenced(t *testing.T, s db.Store) {
	wantError(t, s.Begin(t.Context(), "tracker", db.Cursor{Position: 5, Generation: "one"}), db.ErrFenced)
	commit(t, s, 0, 10, db.Batch{})
	for _, at := range []int64{0, 9, 11} {
		wantError(t, s.Begin(t.Context(), "tracker", db.Cursor{Position: at, Generation: "one"}), db.ErrFenced)
	}
	wantCursor(t, s, "tracker", db.Cursor{Position: 10})
}

func testSetAside(t *testing.T, s db.Store) {
	wantAside := func(want int64) {
		t.Helper()
		if n := must(s.CountSetAside(t.Context()))(t); n != want {
			t.Errorf("%d events set aside, want %d", n, want)
		}
	}
	for n := range 3 {
		mustAppend(t, s, delivery("a", n))
	}
	mustAppend(t, s, delivery("b", 0))
	noError(t, s.SetAside(t.Context(), 1, "cannot decode"))
	noError(t, s.SetAside(t.Context(), 1, "again"))
	noError(t, s.SetAside(t.Context(), 99, "of no event"))
	wantAside(2)
	commit(t, s, 0, 4, db.Batch{Aside: []db.Aside{{Position: 1, Reason: "c"}, {Position: 2, Reason: "d\x00"}, {Position: 4, Reason: "e"}}})
	wantAside(4)
	noError(t, s.ClearSetAside(t.Context(), []string{"a"}))
	wantAside(2)
	noError(t, s.ClearSetAside(t.Context(), []string{"unknown\xff"}))
	wantAside(2)
}

// testDirtyBatch: what a payload can hold must not stop the cursor.
func testDirtyBatch(t *testing.T, s db.Store) {
	const dirt = "a\x00b\xffc"
	long := dirt + strings.Repeat("ü", 1<<20)
	r := row("a", 1)
	r.Branch, r.State, r.ParentID, r.Organization, r.Pipeline = long, long, long, long, long
	commit(t, s, 0, 1, db.Batch{
		Rows:  []db.Row{r},
		Wants: []db.Want{{BuildID: dirt, Kind: dirt, Rev: 1, Create: true}},
		Aside: []db.Aside{{Position: 1, Reason: long}},
	})
	got := must(s.Builds(t.Context(), []string{"a"}))(t)
	if len(got) != 1 || !strings.HasPrefix(got[0].Branch, "a\uFFFDb\uFFFDcüü") || string(got[0].Snapshot) != string(r.Snapshot) {
		t.Fatalf("read %+v", got)
	}
	list := must(s.List(t.Context(), db.ListQuery{Organization: long, Pipeline: long, Branch: long, State: long}))(t)
	if len(list) != 1 {
		t.Errorf("found %d builds by the same texts, want 1", len(list))
	}
	if claimed := must(s.Claim(t.Context(), 10, 0))(t); len(claimed) != 1 {
		t.Errorf("claimed %d notices, want 1", len(claimed))
	} else {
		noError(t, s.Postpone(t.Context(), claimed[0], db.Postponement{Reason: long}))
	}
}

func testRepeats(t *testing.T, s db.Store) {
	commit(t, s, 0, 1, db.Batch{
		Rows: []db.Row{row("b", 1), row("a", 1), row("b", 2)},
		Wants: []db.Want{
			{BuildID: "a", Kind: "failed", Rev: 5},
			{BuildID: "a", Kind: "failed", Rev: 3, Create: true},
		},
	})
	wantRows(t, must(s.Builds(t.Context(), []string{"a", "b"}))(t), row("a", 1), row("b", 2))
	if got := must(s.Notices(t.Context(), []string{"a"}))(t); len(got) != 1 || got[0].WantedRev != 5 {
		t.Errorf("notices %+v", got)
	}
}
