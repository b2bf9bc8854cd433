package dbtest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/db"
)

var reconciliations = map[string]func(*testing.T, db.Store){
	"a reconciliation is kept until it is done":      testReconciliation,
	"the organizations of builds are known":          testOrganizations,
	"missing numbers and builds that run are losses": testLosses,
}

func testReconciliation(t *testing.T, s db.Store) {
	want := func(name, state string) {
		t.Helper()
		if got := must(s.Reconciliation(t.Context(), name))(t); got != state {
			t.Errorf("%q is at %q, want %q", name, got, state)
		}
	}
	want("acme", "")
	noError(t, s.SetReconciliation(t.Context(), "acme", `{"a":"ünï"}`))
	noError(t, s.SetReconciliation(t.Context(), "other", `{}`))
	noError(t, s.SetReconciliation(t.Context(), "acme", `{"a":2}`))
	want("acme", `{"a":2}`)
	noError(t, s.SetReconciliation(t.Context(), "acme", ""))
	noError(t, s.SetReconciliation(t.Context(), "acme", ""))
	want("acme", "")
	want("other", `{}`)
}

func testOrganizations(t *testing.T, s db.Store) {
	if got := must(s.Organizations(t.Context()))(t); len(got) != 0 {
		t.Errorf("organizations %q, want none", got)
	}
	var rows []db.Row
	for i, organization := range []string{"zed", "acme", "acme", "beta"} {
		r := row(string(rune('a'+i)), 1)
		r.Organization = organization
		rows = append(rows, r)
	}
	commit(t, s, 0, 1, db.Batch{Rows: rows})
	if diff := cmp.Diff([]string{"acme", "beta", "zed"}, must(s.Organizations(t.Context()))(t)); diff != "" {
		t.Errorf("organizations (-want +got):\n%s", diff)
	}
}

func testLosses(t *testing.T, s db.Store) {
	var rows []db.Row
	for i, c := range []struct {
		pipeline string
		number   int64
		hours    int // after start
		status   build.Status
	}{
		{"web", 3, 5, build.Passed},
		{"web", 4, 6, build.Running},  // lost
		{"web", 4, 6, build.Failed},   // one number, twice
		{"web", 7, 7, build.Passed},   // after 5 and 6
		{"web", 9, 99, build.Running}, // young, after 8
		{"api", 1, 9, build.Blocked},
		{"api", 12, -5, build.Running}, // old
	} {
		r := row(string(rune('a'+i)), 1)
		r.Organization, r.Pipeline, r.Number, r.Status = "acme", c.pipeline, c.number, c.status
		r.CreatedAt = start().Add(time.Duration(c.hours) * time.Hour)
		rows = append(rows, r)
	}
	r := row("z", 1) // without a time
	r.CreatedAt, r.Status = time.Time{}, build.Running
	commit(t, s, 0, 1, db.Batch{Rows: append(rows, r)})
	q := db.LossQuery{Since: start(), Before: start().Add(24 * time.Hour)}
	if diff := cmp.Diff(db.Losses{Gaps: 3, Unfinished: 1}, must(s.CountLosses(t.Context(), q))(t)); diff != "" {
		t.Errorf("losses (-want +got):\n%s", diff)
	}
	q.Since = start().Add(1000 * time.Hour)
	if got := must(s.CountLosses(t.Context(), q))(t); got != (db.Losses{}) {
		t.Errorf("losses of no builds are %+v", got)
	}
}
