package buildtracker

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/db"
)

// maxNesting bounds how far failed steps travel up from build to build.
const maxNesting = 16

// lend passes what builds lend on to the builds that triggered them, and on to
// those above.
func (b *batch) lend(ctx context.Context) error {
	lenders := b.touched()
	var fresh []string
	for _, id := range lenders {
		if b.builds[id].isNew {
			fresh = append(fresh, id)
		}
	}
	if len(fresh) > 0 { // builds that these triggered may be known already
		children, err := b.t.db.ChildIDs(ctx, fresh)
		if err != nil {
			return fmt.Errorf("read triggered builds: %w", err)
		}
		for _, ids := range children {
			if err := b.load(ctx, ids); err != nil {
				return err
			}
			lenders = append(lenders, ids...)
		}
	}
	for range maxNesting {
		var parents []string
		for _, id := range lenders {
			if c := b.builds[id]; c.b != nil && c.b.Parent.BuildID != "" && c.b.Parent.BuildID != id {
				parents = append(parents, c.b.Parent.BuildID)
			}
		}
		if len(parents) == 0 {
			return nil
		}
		if err := b.load(ctx, parents); err != nil {
			return err
		}
		var next []string
		for _, id := range lenders {
			child := b.builds[id].b
			if child == nil {
				continue
			}
			parent := b.builds[child.Parent.BuildID]
			if parent == nil || parent.b == nil || child.Parent.BuildID == id {
				continue
			}
			lent := child.Lend()
			if parent.b.Borrowed(id, lent) {
				continue
			}
			edit := parent.edit()
			edit.Borrow(id, lent)
			edit.Rev = max(edit.Rev, child.Rev)
			parent.own = true
			next = append(next, edit.ID)
		}
		slices.Sort(next)
		lenders = slices.Compact(next)
	}
	return nil
}

// branchKey names a branch.
type branchKey struct{ organization, pipeline, branch string }

// recount brings the streaks of the branches up to date in which a build came
// in, or changed what it means for the row.
func (b *batch) recount(ctx context.Context) error {
	ranges := make(map[branchKey]*db.BranchQuery)
	include := func(build *build.Build, branch string) {
		if branch == "" {
			return
		}
		key := branchKey{build.Organization, build.Pipeline, branch}
		q := ranges[key]
		if q == nil {
			ranges[key] = &db.BranchQuery{
				Organization: key.organization, Pipeline: key.pipeline, Branch: branch,
				From: build.Number, To: build.Number,
			}
			return
		}
		q.From, q.To = min(q.From, build.Number), max(q.To, build.Number)
	}
	for _, c := range b.builds {
		if !c.own {
			continue
		}
		if branch := c.b.Branch.V; c.before.class != c.b.Class() || c.before.branch != branch {
			include(c.b, branch)
			if c.before.branch != branch {
				include(c.b, c.before.branch)
			}
		}
	}
	if len(ranges) == 0 {
		return nil
	}
	keys := slices.SortedFunc(maps.Keys(ranges), func(x, y branchKey) int {
		return cmp.Or(cmp.Compare(x.organization, y.organization), cmp.Compare(x.pipeline, y.pipeline), cmp.Compare(x.branch, y.branch))
	})
	queries := make([]db.BranchQuery, len(keys))
	for i, k := range keys {
		queries[i] = *ranges[k]
	}
	found, err := b.t.db.Branch(ctx, queries)
	if err != nil {
		return fmt.Errorf("read branches: %w", err)
	}
	for i, k := range keys {
		if err := b.recountBranch(ctx, k, queries[i].From, found[i]); err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) recountBranch(ctx context.Context, key branchKey, from int64, rows []db.Row) error {
	var before build.Streak
	places := make(map[string]build.Place, len(rows))
	stored := make(map[string]build.Streak, len(rows))
	for _, r := range rows {
		if r.Number < from {
			before = r.Streak
			continue
		}
		places[r.ID] = build.Place{ID: r.ID, Number: r.Number, CreatedAt: r.CreatedAt, Class: r.Class}
		stored[r.ID] = r.Streak
	}
	var cause int64
	for id, c := range b.builds {
		if c.b == nil || !c.own {
			continue
		}
		here := key == branchKey{c.b.Organization, c.b.Pipeline, c.b.Branch.V}
		switch {
		case here && c.b.Number >= from:
			places[id] = build.Place{ID: id, Number: c.b.Number, CreatedAt: c.b.CreatedAt, Class: c.b.Class()}
			stored[id] = c.b.Streak
			cause = max(cause, c.b.Rev)
		case !here:
			if _, moved := places[id]; moved {
				delete(places, id)
				cause = max(cause, c.b.Rev)
			}
		}
	}
	var others []string
	counted := build.Recount(before, slices.Collect(maps.Values(places)))
	for _, p := range counted {
		if p.Streak != stored[p.ID] {
			others = append(others, p.ID)
		}
	}
	if err := b.load(ctx, others); err != nil {
		return err
	}
	for _, p := range counted {
		c := b.builds[p.ID]
		if c == nil || c.b == nil {
			continue
		}
		c.newest = p.Newest
		if c.b.Streak != p.Streak {
			edit := c.edit()
			edit.Streak = p.Streak
			edit.Rev = max(edit.Rev, cause)
			c.streak = true
		}
	}
	return nil
}
