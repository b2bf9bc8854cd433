package dbtest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/db"
)

var builds = map[string]func(*testing.T, db.Store){
	"rows come back as written":             testRows,
	"children are found by parent":          testChildren,
	"a branch is read as far as it matters": testBranch,
	"branches are those of their address":   testBranchAddress,
	"builds are found by number":            testFind,
	"lists are newest first and paged":      testList,
	"lists select":                          testListSelects,
	"recent builds are unfinished or late":  testRecent,
	"ids are of events and of rows":         testBuildIDs,
}

func row(id string, rev int64) db.Row {
	return db.Row{
		ID: id, Organization: "acme", Pipeline: "web", Number: 42, Branch: "main",
		State: "failed", Status: build.Failed, Class: build.ClassFailed,
		Streak:   build.Streak{Failures: 3, FirstFailed: 40, LastPassed: 39},
		ParentID: "parent", CreatedAt: start(), FinishedAt: start().Add(time.Minute),
		Rev: rev, Snapshot: fmt.Appendf(nil, `{"id":%q,"rev":%d}`, id, rev),
	}
}

func wantRows(t *testing.T, got []db.Row, want ...db.Row) {
	t.Helper()
	if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

func ids(rows []db.Row) []string {
	list := make([]string, 0, len(rows))
	for _, r := range rows {
		list = append(list, r.ID)
	}
	return list
}

func testRows(t *testing.T, s db.Store) {
	bare := db.Row{ID: "bare"}
	large := row("large", 1<<60)
	large.Snapshot = make([]byte, 20000)
	commit(t, s, 0, 1, db.Batch{Rows: []db.Row{row("a", 1), bare, large}})
	byID := cmpopts.SortSlices(func(a, b db.Row) bool { return a.ID < b.ID })
	got := must(s.Builds(t.Context(), []string{"large", "a", "unknown", "bare", "a\x00"}))(t)
	if diff := gocmp.Diff([]db.Row{row("a", 1), bare, large}, got, byID, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}

	changed := row("a", 2)
	changed.Organization, changed.Pipeline, changed.Number, changed.Branch = "o", "p", 1, "b"
	changed.State, changed.Status, changed.Class = "running", build.Running, build.ClassNone
	changed.Streak, changed.ParentID = build.Streak{}, ""
	changed.CreatedAt, changed.FinishedAt = start().Add(time.Hour), time.Time{}
	commit(t, s, 1, 2, db.Batch{Rows: []db.Row{changed}})
	wantRows(t, must(s.Builds(t.Context(), []string{"a"}))(t), changed)
	wantRows(t, must(s.Builds(t.Context(), nil))(t))
}

func testChildren(t *testing.T, s db.Store) {
	child := func(id, parent string) db.Row {
		r := row(id, 1)
		r.ParentID = parent
		return r
	}
	commit(t, s, 0, 1, db.Batch{Rows: []db.Row{child("p", ""), child("c1", "p"), child("c2", "p"), child("d", "q"), child("e", "r")}})
	want := map[string][]string{"p": {"c1", "c2"}, "q": {"d"}}
	if diff := gocmp.Diff(want, must(s.ChildIDs(t.Context(), []string{"p", "q", "none", ""}))(t)); diff != "" {
		t.Error(diff)
	}
}

// testBranch compares with the definition, over random branches and queries.
func testBranch(t *testing.T, s db.Store) {
	random := rand.New(rand.NewPCG(1, 2))
	var rows []db.Row
	for n := range 40 {
		r := row(fmt.Sprintf("build-%02d", n), 1)
		r.Number = random.Int64N(25)
		r.Class = build.Class(random.IntN(3))
		if r.CreatedAt = start().Add(time.Duration(random.IntN(3)) * time.Hour); random.IntN(4) == 0 {
			r.CreatedAt = time.Time{}
		}
		rows = append(rows, r)
	}
	commit(t, s, 0, 1, db.Batch{Rows: rows})
	var queries []db.BranchQuery
	for from := int64(-1); from < 27; from += 2 {
		for to := from; to < 27; to += 3 {
			queries = append(queries, db.BranchQuery{Organization: "acme", Pipeline: "web", Branch: "main", From: from, To: to})
		}
	}
	got := must(s.Branch(t.Context(), queries))(t)
	for i, q := range queries {
		if diff := gocmp.Diff(ids(branchModel(rows, q)), ids(got[i])); diff != "" {
			t.Errorf("from %d to %d: %s", q.From, q.To, diff)
		}
		if len(got[i]) > 0 && got[i][0].Snapshot != nil {
			t.Error("a snapshot was read")
		}
	}
}

// branchModel is what the comment on Store.Branch says.
func branchModel(rows []db.Row, q db.BranchQuery) (part []db.Row) {
	rows = slices.SortedFunc(slices.Values(rows), func(a, b db.Row) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	newest := make(map[int64]string)
	for _, r := range rows {
		newest[r.Number] = r.ID
	}
	for _, r := range slices.Backward(rows) {
		if r.Number < q.From && r.Class != build.ClassNone && r.ID == newest[r.Number] {
			part = append(part, r)
			break
		}
	}
	for _, r := range rows {
		if r.Number > q.To && r.Class == build.ClassPassed && r.ID == newest[r.Number] {
			break
		}
		if r.Number >= q.From {
			part = append(part, r)
		}
	}
	return part
}

func testBranchAddress(t *testing.T, s db.Store) {
	at := func(id, organization, pipeline, branch string) db.Row {
		r := row(id, 1)
		r.Organization, r.Pipeline, r.Branch = organization, pipeline, branch
		return r
	}
	commit(t, s, 0, 1, db.Batch{Rows: []db.Row{
		at("a", "acme", "web", "main"), at("b", "acme", "web", "other"), at("c", "acme", "api", "main"), at("d", "umbrella", "web", "main"),
	}})
	got := must(s.Branch(t.Context(), []db.BranchQuery{
		{Organization: "acme", Pipeline: "api", Branch: "main"},
		{Organization: "acme", Pipeline: "web", Branch: "none"},
		{Organization: "acme", Pipeline: "web", Branch: "main"},
	}))(t)
	if diff := gocmp.Diff([][]string{{"c"}, {}, {"a"}}, [][]string{ids(got[0]), ids(got[1]), ids(got[2])}); diff != "" {
		t.Error(diff)
	}
	if none := must(s.Branch(t.Context(), nil))(t); len(none) != 0 {
		t.Errorf("no query found %v", none)
	}
}

func testFind(t *testing.T, s db.Store) {
	at := func(id, organization, pipeline string, number int64, created time.Time) db.Row {
		r := row(id, 1)
		r.Organization, r.Pipeline, r.Number, r.CreatedAt = organization, pipeline, number, created
		return r
	}
	commit(t, s, 0, 1, db.Batch{Rows: []db.Row{
		at("old", "acme", "web", 7, start()),
		at("new", "acme", "web", 7, start().Add(time.Hour)),
		at("untimed", "acme", "web", 7, time.Time{}),
		at("api", "acme", "api", 7, start().Add(time.Minute)),
		at("umbrella", "umbrella", "web", 7, start().Add(2*time.Hour)),
		at("other", "acme", "web", 8, start()),
	}})
	for _, c := range []struct {
		organization, pipeline string
		want                   []string
	}{
		{"acme", "web", []string{"new", "old", "untimed"}},
		{"acme", "", []string{"new", "api", "old", "untimed"}},
		{"", "", []string{"umbrella", "new", "api", "old", "untimed"}},
		{"none", "", []string{}},
	} {
		if diff := gocmp.Diff(c.want, ids(must(s.Find(t.Context(), c.organization, c.pipeline, 7))(t))); diff != "" {
			t.Errorf("%s/%s: %s", c.organization, c.pipeline, diff)
		}
	}
}
