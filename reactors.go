package buildtracker

import (
	"context"
	"slices"
	"time"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/notify"
)

// A Reactor says what follows from a build that a batch touched. It is pure,
// apart from the clock it was given, and is called again for the same build
// when a batch is done again: what it returns is what is wanted, not what to do.
type Reactor func(Touched) Effects

// Effects are what follows from builds.
type Effects struct {
	Wants []db.Want
	Jobs  []db.Job
}

// Touched is a build that a batch touched, as it will be committed.
type Touched struct {
	Build *build.Build
	// Parent is the build that triggered it; nil if there is none, or it is not
	// known.
	Parent *build.Build
	// StreakOnly: nothing changed but its streak, because of another build.
	StreakOnly bool
	// NewestOfRow: it is the latest failure of its row. Known when StreakOnly.
	NewestOfRow bool
}

// react asks the reactors about every build that was touched, and about
// triggered builds whose parent came to be known or changed how it stands.
func (b *batch) react(ctx context.Context) (effects Effects, err error) {
	ids := b.touched()
	var children, parents []string
	for _, id := range ids {
		c := b.builds[id]
		if c.own && (c.isNew || c.before != standingOf(c.b)) {
			for child := range c.b.Children {
				children = append(children, child)
			}
		}
	}
	if err := b.load(ctx, children); err != nil {
		return Effects{}, err
	}
	judged := make(map[string]bool, len(children)) // whether they speak depends on the parent
	for _, id := range children {
		judged[id] = true
	}
	ids = append(ids, children...)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	for _, id := range ids {
		if c := b.builds[id]; c.b != nil {
			parents = append(parents, c.b.Parent.BuildID)
		}
	}
	if err := b.load(ctx, parents); err != nil {
		return Effects{}, err
	}

	for _, id := range ids {
		c := b.builds[id]
		if c.b == nil {
			continue
		}
		touched := Touched{Build: c.b, StreakOnly: c.streak && !c.own && !judged[id], NewestOfRow: c.newest}
		if parent := b.builds[c.b.Parent.BuildID]; parent != nil && parent != c {
			touched.Parent = parent.b
		}
		for _, r := range b.t.reactors {
			follows := r(touched)
			effects.Wants = append(effects.Wants, follows.Wants...)
			effects.Jobs = append(effects.Jobs, follows.Jobs...)
		}
	}
	return effects, nil
}

// noticeReactor wants a message for a build that failed, and has it follow the
// build from then on.
func noticeReactor(policy notify.Policy, now func() time.Time) Reactor {
	return func(t Touched) Effects {
		d := notify.Decide(notify.Input{
			Build: t.Build, Parent: t.Parent,
			StreakOnly: t.StreakOnly, NewestOfRow: t.NewestOfRow,
			Now: now(), Policy: policy,
		})
		if d.Action == notify.None {
			return Effects{}
		}
		return Effects{Wants: []db.Want{{BuildID: t.Build.ID, Kind: notify.KindFailed, Rev: t.Build.Rev, Create: d.Action == notify.Announce}}}
	}
}
