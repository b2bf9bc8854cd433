package db

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/build-tracker/build-tracker/build"
)

// rowColumns are a row's columns but for its snapshot, in the order of dest.
const rowColumns = `id, organization, pipeline, number, branch, state, status, class, ` +
	`failures, first_failed, last_passed, parent_id, rev, created_at, finished_at`

// dest returns where rowColumns are scanned to; the two times are the backend's.
func (r *Row) dest(createdAt, finishedAt any) []any {
	return []any{
		&r.ID, &r.Organization, &r.Pipeline, &r.Number, &r.Branch, &r.State, &r.Status, &r.Class,
		&r.Streak.Failures, &r.Streak.FirstFailed, &r.Streak.LastPassed, &r.ParentID, &r.Rev, createdAt, finishedAt,
	}
}

// replaceRow ends an insert of rowColumns and snapshot.
const replaceRow = ` ON CONFLICT (id) DO UPDATE SET
	organization = excluded.organization, pipeline = excluded.pipeline, number = excluded.number,
	branch = excluded.branch, state = excluded.state, status = excluded.status, class = excluded.class,
	failures = excluded.failures, first_failed = excluded.first_failed, last_passed = excluded.last_passed,
	parent_id = excluded.parent_id, rev = excluded.rev,
	created_at = excluded.created_at, finished_at = excluded.finished_at, snapshot = excluded.snapshot`

// distinctRows returns rows as a store takes them: one for each build, the last
// given, in order of id, so that two transactions lock them in one order. Texts
// are cleaned, because nothing in a payload may block the tracker's commit.
func distinctRows(rows []Row) []Row {
	byID := make(map[string]Row, len(rows))
	for _, r := range rows {
		r.ID = clean(r.ID, maxName)
		r.Organization = clean(r.Organization, maxName)
		r.Pipeline = clean(r.Pipeline, maxName)
		r.Branch = clean(r.Branch, maxBranch)
		r.State = clean(r.State, maxName)
		r.Status = build.Status(clean(string(r.Status), maxName))
		r.ParentID = clean(r.ParentID, maxName)
		byID[r.ID] = r
	}
	return slices.SortedFunc(maps.Values(byID), func(a, b Row) int { return strings.Compare(a.ID, b.ID) })
}

// distinctWants returns one want for each notice, at the highest revision, in
// order of build and kind.
func distinctWants(wants []Want) []Want {
	type key struct{ id, kind string }
	byKey := make(map[key]Want, len(wants))
	for _, w := range wants {
		w.BuildID, w.Kind = clean(w.BuildID, maxName), clean(w.Kind, maxName)
		k := key{w.BuildID, w.Kind}
		if old, ok := byKey[k]; ok {
			w.Rev = max(w.Rev, old.Rev)
			w.Create = w.Create || old.Create
		}
		byKey[k] = w
	}
	return slices.SortedFunc(maps.Values(byKey), func(a, b Want) int {
		return cmp.Or(strings.Compare(a.BuildID, b.BuildID), strings.Compare(a.Kind, b.Kind))
	})
}

// unpackSnapshot replaces the row's snapshot by what was packed: by nothing when
// it is damaged, so that it does not hide the rows around it.
func (r *Row) unpackSnapshot() {
	data, err := unpack(r.Snapshot)
	if err != nil {
		data = nil
	}
	r.Snapshot = data
}
