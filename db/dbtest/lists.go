package dbtest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/db"
)

func testList(t *testing.T, s db.Store) {
	var rows []db.Row
	var want []string
	for n := range 20 {
		r := row(fmt.Sprintf("build-%02d", n), 1)
		r.CreatedAt = start().Add(time.Duration(n/3) * time.Hour) // several at one time
		if n < 5 {
			r.CreatedAt = time.Time{}
		}
		rows = append(rows, r)
		want = append(want, r.ID)
	}
	slices.Reverse(want)
	commit(t, s, 0, 1, db.Batch{Rows: rows})
	for _, limit := range []int{1, 3, 20, 100} {
		var got []string
		q := db.ListQuery{Limit: limit}
		for {
			page := must(s.List(t.Context(), q))(t)
			if len(page) == 0 {
				break
			}
			if len(page) > limit {
				t.Fatalf("a page of %d, at most %d", len(page), limit)
			}
			last := page[len(page)-1]
			q.BeforeCreated, q.BeforeID = last.CreatedAt, last.ID
			got = append(got, ids(page)...)
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("pages of %d: %s", limit, diff)
		}
	}
}

func testListSelects(t *testing.T, s db.Store) {
	var rows []db.Row
	for n, at := range [][4]string{
		{"acme", "web", "main", "passed"},
		{"acme", "web", "main", "failed"},
		{"acme", "web", "other", "failed"},
		{"acme", "api", "main", "failed"},
		{"umbrella", "web", "main", "passed"},
	} {
		r := row(fmt.Sprint(n), 1)
		r.Organization, r.Pipeline, r.Branch, r.State = at[0], at[1], at[2], at[3]
		rows = append(rows, r)
	}
	commit(t, s, 0, 1, db.Batch{Rows: rows})
	for _, c := range []struct {
		query db.ListQuery
		want  []string
	}{
		{db.ListQuery{}, []string{"4", "3", "2", "1", "0"}},
		{db.ListQuery{Organization: "acme", Pipeline: "web"}, []string{"2", "1", "0"}},
		{db.ListQuery{Organization: "acme", Pipeline: "web", Branch: "main"}, []string{"1", "0"}},
		{db.ListQuery{Organization: "acme", Pipeline: "web", Branch: "main", State: "failed"}, []string{"1"}},
		{db.ListQuery{Branch: "main", BeforeID: "3", BeforeCreated: start()}, []string{"1", "0"}},
		{db.ListQuery{State: "failed", Limit: 2}, []string{"3", "2"}},
		{db.ListQuery{Organization: "umbrella", State: "failed"}, []string{}},
	} {
		if diff := gocmp.Diff(c.want, ids(must(s.List(t.Context(), c.query))(t))); diff != "" {
			t.Errorf("%+v: %s", c.query, diff)
		}
	}
}

func testRecent(t *testing.T, s db.Store) {
	finished := func(id string, at time.Time) db.Row {
		r := row(id, 1)
		r.FinishedAt = at
		return r
	}
	since := start()
	commit(t, s, 0, 1, db.Batch{Rows: []db.Row{
		finished("a", since), finished("b", since.Add(time.Microsecond)), finished("c", time.Time{}),
		finished("d", since.Add(-time.Hour)), finished("e", since.Add(time.Hour)),
	}})
	for _, c := range []struct {
		after string
		limit int
		want  []string
	}{
		{"", 100, []string{"b", "c", "e"}},
		{"", 2, []string{"b", "c"}},
		{"c", 2, []string{"e"}},
		{"e", 2, []string{}},
	} {
		got := must(s.Recent(t.Context(), since, c.after, c.limit))(t)
		if diff := gocmp.Diff(c.want, ids(got)); diff != "" {
			t.Errorf("after %q: %s", c.after, diff)
		}
		if len(got) > 0 && len(got[0].Snapshot) == 0 {
			t.Error("a recent build has no snapshot")
		}
	}
	// Times before the year 1970, and what a caller without a bound passes.
	if got := must(s.Recent(t.Context(), time.Time{}, "", 100))(t); len(got) != 5 {
		t.Errorf("since ever: %d builds, want 5", len(got))
	}
}

func testBuildIDs(t *testing.T, s db.Store) {
	commit(t, s, 0, 1, db.Batch{Rows: []db.Row{row("a", 1), row("c", 1), row("e", 1), row("f", 1)}})
	for _, id := range []string{"b", "c", "d", "Z", "ä", ""} {
		mustAppend(t, s, delivery(id, 0))
	}
	if n := must(s.CountBuilds(t.Context()))(t); n != 4 {
		t.Errorf("counted %d builds, want 4", n)
	}
	for _, limit := range []int{1, 2, 100} {
		got := []string{""}
		for {
			page := must(s.BuildIDs(t.Context(), got[len(got)-1], limit))(t)
			if len(page) == 0 {
				break
			}
			got = append(got, page...)
		}
		if diff := gocmp.Diff([]string{"", "Z", "a", "b", "c", "d", "e", "f", "ä"} /* by bytes, whatever the locale */, got); diff != "" {
			t.Errorf("pages of %d: %s", limit, diff)
		}
	}
}
