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

// relate brings what builds have of each other up to date.
func (b *batch) relate(ctx context.Context) error {
	if err := b.lend(ctx); err != nil {
		return err
	}
	return b.recount(ctx)
}

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
			parent.b.Borrow(id, lent)
			parent.b.Rev = max(parent.b.Rev, child.Rev)
			parent.own = true
			next = append(next, parent.b.ID)
		}
		slices.Sort(next)
		lenders = slices.Compact(next)
	}
	return nil
}

// branchKey names a branch.
type branchKey struct{ organization, pipeline, branch string }

// branchChange is a branch in which builds came in, or changed what they mean
// for the row of failures.
type branchChange struct {
	key      branchKey
	from, to int64 // the numbers of the first and the last of them
	builds   map[string]bool
}

// recount brings the streaks of the branches up to date that changed.
func (b *batch) recount(ctx context.Context) error {
	changes := b.branchChanges()
	if len(changes) == 0 {
		return nil
	}
	queries := make([]db.BranchQuery, len(changes))
	for i, c := range changes {
		queries[i] = db.BranchQuery{
			Organization: c.key.organization, Pipeline: c.key.pipeline, Branch: c.key.branch, From: c.from, To: c.to,
		}
	}
	found, err := b.t.db.Branch(ctx, queries)
	if err != nil {
		return fmt.Errorf("read branches: %w", err)
	}
	for i, c := range changes {
		if err := b.recountBranch(ctx, c, found[i]); err != nil {
			return err
		}
	}
	return nil
}

// branchChanges returns the branches that changed, in a fixed order.
func (b *batch) branchChanges() []*branchChange {
	changes := make(map[branchKey]*branchChange)
	include := func(changed *build.Build, branch string) {
		if branch == "" {
			return
		}
		key := branchKey{changed.Organization, changed.Pipeline, branch}
		c := changes[key]
		if c == nil {
			c = &branchChange{key: key, from: changed.Number, to: changed.Number, builds: make(map[string]bool)}
			changes[key] = c
		}
		c.from, c.to = min(c.from, changed.Number), max(c.to, changed.Number)
		c.builds[changed.ID] = true
	}
	for _, c := range b.builds {
		if !c.own {
			continue
		}
		branch := c.b.Branch.V
		if c.isNew || c.before.class != c.b.Class() || c.before.branch != branch {
			include(c.b, branch)
		}
		if c.before.branch != branch {
			include(c.b, c.before.branch)
		}
	}
	return slices.SortedFunc(maps.Values(changes), func(x, y *branchChange) int {
		return cmp.Or(cmp.Compare(x.key.organization, y.key.organization), cmp.Compare(x.key.pipeline, y.key.pipeline), cmp.Compare(x.key.branch, y.key.branch))
	})
}

// recountBranch counts a branch anew, from the decided build below the first
// that changed up to where the row of the last one ends. The rows are as they
// were before the batch.
func (b *batch) recountBranch(ctx context.Context, change *branchChange, rows []db.Row) error {
	old := make(map[string]build.Place, len(rows))
	for _, r := range rows {
		old[r.ID] = build.Place{ID: r.ID, Number: r.Number, CreatedAt: r.CreatedAt, Class: r.Class, Streak: r.Streak}
	}
	places := maps.Clone(old)
	var cause int64
	for id := range change.builds {
		changed := b.builds[id].b
		cause = max(cause, changed.Rev)
		if change.key != (branchKey{changed.Organization, changed.Pipeline, changed.Branch.V}) {
			delete(places, id) // it has left for another branch
			continue
		}
		places[id] = build.Place{ID: id, Number: changed.Number, CreatedAt: changed.CreatedAt, Class: changed.Class(), Streak: changed.Streak}
	}
	var below build.Streak
	if len(rows) > 0 && rows[0].Number < change.from {
		below = rows[0].Streak.Before(rows[0].Class)
	}
	for _, p := range build.Recount(below, slices.Collect(maps.Values(old))) {
		p.Streak = old[p.ID].Streak
		old[p.ID] = p
	}
	var moved []build.Place
	var ids []string
	for _, p := range build.Recount(below, slices.Collect(maps.Values(places))) {
		// Who became the newest failure of its row says the streak from now on.
		if p.Streak != places[p.ID].Streak || p.Newest && !old[p.ID].Newest {
			moved = append(moved, p)
			ids = append(ids, p.ID)
		}
	}
	if err := b.load(ctx, ids); err != nil {
		return err
	}
	for _, p := range moved {
		c := b.builds[p.ID]
		if c.b == nil {
			continue
		}
		c.b.Streak = p.Streak
		c.b.Rev = max(c.b.Rev, cause)
		c.streak, c.newest = true, p.Newest
	}
	return nil
}
