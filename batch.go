package buildtracker

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/stream"
)

// batch is the work of folding some events: the builds they touch, directly
// or through other builds, and what follows.
type batch struct {
	t      *Tracker
	to     int64 // the position it ends at
	builds map[string]*change
	aside  []db.Aside
	own    []db.Own // events of ours that follow
	wanted wanted   // on the topics
}

// change is a build that a batch looks at.
type change struct {
	// b is nil when there is no such build. It is the batch's own.
	b *build.Build
	// damaged is why the build's row cannot be read; b is nil then.
	damaged error
	// isNew: it was not there, or is computed anew.
	isNew bool
	// own: its own events, or a build that it triggered, changed it.
	own bool
	// streak: another build of its branch changed its streak.
	streak bool
	// newest: it is the latest failure of its row, as far as this batch looked.
	newest bool
	// before is how it stood when the batch began, and outline likewise for the
	// topics.
	before  standing
	outline outline
}

// standing is what other builds see of a build.
type standing struct {
	state  string // Buildkite's
	status build.Status
	class  build.Class
	branch string
	failed bool // had finished as failed
	// byDefault is its pipeline's default branch.
	byDefault string
}

func standingOf(b *build.Build) standing {
	status := b.Status()
	return standing{
		state: b.State, status: status, class: status.Class(), branch: b.Branch.V,
		failed: b.FirstFailed != build.Version{}, byDefault: b.DefaultBranch.V,
	}
}

func newBatch(t *Tracker, to int64) *batch {
	return &batch{t: t, to: to, builds: make(map[string]*change), wanted: t.announcer.wanted()}
}

// run folds events and writes what follows. A failure that comes from the
// events themselves is a *poisonError.
func (b *batch) run(ctx context.Context, events []decoded) error {
	return b.guard(func() error {
		if err := b.fold(ctx, events); err != nil {
			return err
		}
		if err := b.relate(ctx); err != nil {
			return err
		}
		effects, err := b.react(ctx)
		if err != nil {
			return err
		}
		b.tell()
		told := b.announcements()
		if err := b.write(ctx, effects); err != nil {
			return err
		}
		b.t.announcer.announce(told)
		return nil
	})
}

// tell adds how the builds stand now to what is appended.
func (b *batch) tell() {
	for _, id := range b.touched() {
		if e, changed := b.builds[id].status(b.to); changed {
			b.own = append(b.own, e)
		}
	}
}

// guard makes a panic a *poisonError.
func (b *batch) guard(do func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			b.t.log.Error("panic while folding", "panic", r, "stack", string(debug.Stack()))
			err = &poisonError{fmt.Errorf("panic: %v", r)}
		}
	}()
	return do()
}

func (b *batch) fold(ctx context.Context, events []decoded) error {
	var ids []string
	for i := range events {
		if foldable(&events[i].Event) {
			ids = append(ids, events[i].BuildID)
		}
	}
	if err := b.load(ctx, ids); err != nil {
		return err
	}
	for i := range events {
		e := &events[i]
		if !foldable(&e.Event) {
			continue
		}
		c := b.builds[e.BuildID]
		if c.damaged != nil { // not a new build: only its events tell what it was
			return &poisonError{fmt.Errorf("event %d (%s): row of build %s: %w", e.Position, e.Type, e.BuildID, c.damaged)}
		}
		if c.b == nil {
			c.b = build.New(e.BuildID, e.Organization, e.Pipeline, e.Number)
			c.isNew = true
		}
		if err := foldEvent(c.b, e); err != nil {
			return err
		}
		c.own = true
	}
	return nil
}

// foldable says whether an event is one of Buildkite's about a build.
func foldable(e *stream.Event) bool {
	return e.BuildID != "" && (strings.HasPrefix(e.Type, "build.") || strings.HasPrefix(e.Type, "job."))
}

// foldEvent folds one event into its build. An event that is not Buildkite's
// says nothing new.
func foldEvent(into *build.Build, e *decoded) error {
	if !foldable(&e.Event) {
		return nil
	}
	if e.err != nil {
		return &poisonError{fmt.Errorf("event %d (%s): %w", e.Position, e.Type, e.err)}
	}
	into.Apply(&e.facts)
	into.LastSeq = max(into.LastSeq, e.Seq)
	into.Rev = max(into.Rev, e.Position)
	return nil
}

// load makes the batch look at these builds: as the tracker holds them, else
// as Redis does, else as their rows do. Each notes how it stands.
func (b *batch) load(ctx context.Context, ids []string) error {
	var looked, missing []string
	for _, id := range ids {
		if _, known := b.builds[id]; known || id == "" {
			continue
		}
		c := &change{b: b.t.held.take(id)}
		b.builds[id] = c
		looked = append(looked, id)
		if c.b == nil {
			missing = append(missing, id)
		}
	}
	inRedis, err := b.t.state.Load(ctx, b.t.mark, missing)
	if err != nil {
		return err
	}
	var inRows []string
	for _, id := range missing {
		if found := inRedis[id]; found != nil {
			b.builds[id].b = found
		} else {
			inRows = append(inRows, id)
		}
	}
	if err := b.loadRows(ctx, inRows); err != nil {
		return err
	}
	for _, id := range looked {
		if c := b.builds[id]; c.b != nil {
			c.before = standingOf(c.b)
			if b.wanted != (wanted{}) {
				c.outline = outlineOf(c.b, b.wanted)
			}
		}
	}
	return nil
}

func (b *batch) loadRows(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	rows, err := b.t.db.Builds(ctx, ids)
	if err != nil {
		return fmt.Errorf("read build rows: %w", err)
	}
	for _, r := range rows {
		c := b.builds[r.ID]
		c.b, c.damaged = build.Decode(r.Snapshot)
	}
	return nil
}

// touched returns the ids of the builds that changed, in a fixed order.
func (b *batch) touched() []string {
	var ids []string
	for id, c := range b.builds {
		if c.own || c.streak {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// write stores what the batch did: Redis first, then the database, each only
// if it stands where the batch began.
func (b *batch) write(ctx context.Context, effects Effects) error {
	t := b.t
	ids := b.touched()
	encoded := make([]build.Encoded, 0, len(ids))
	rows := make([]db.Row, 0, len(ids))
	for _, id := range ids {
		changed := b.builds[id].b
		data := build.Encode(changed)
		encoded = append(encoded, build.Encoded{ID: id, Data: data})
		rows = append(rows, rowOf(changed, data))
	}
	mark, err := t.state.Save(ctx, t.mark, b.to, encoded)
	if err != nil {
		return err
	}
	err = t.db.Commit(ctx, db.Batch{
		Cursor: trackerCursor, Generation: t.mark.Generation, From: t.mark.Position, To: b.to,
		Rows: rows, Wants: effects.Wants, Jobs: effects.Jobs, Aside: b.aside, Own: b.own,
	})
	if err != nil {
		return fmt.Errorf("commit batch: %w", err)
	}
	t.mark = mark
	for _, c := range b.builds {
		t.held.put(c.b)
	}
	if len(effects.Wants) > 0 {
		t.committed()
	}
	for i := range b.own {
		t.appended(b.own[i].BuildID)
	}
	return nil
}

func rowOf(b *build.Build, data []byte) db.Row {
	status := b.Status()
	return db.Row{
		ID: b.ID, Organization: b.Organization, Pipeline: b.Pipeline, Number: b.Number,
		Branch: b.Branch.V, State: b.State, Status: status, Class: status.Class(), Streak: b.Streak,
		ParentID: b.Parent.BuildID, CreatedAt: b.CreatedAt, FinishedAt: b.Latest.Time(),
		Rev: b.Rev, Snapshot: data,
	}
}
