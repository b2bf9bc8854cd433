package buildtracker

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/db"
)

// sync makes Redis stand where the database does. If it does not, its builds
// are given up, and it is filled from their rows.
func (t *Tracker) sync(ctx context.Context) error {
	t.held.clear()
	cursor, err := t.db.Cursor(ctx, trackerCursor)
	if err != nil {
		return fmt.Errorf("read the tracker's cursor: %w", err)
	}
	mark, err := t.state.Mark(ctx)
	if err != nil {
		return err
	}
	if mark.Generation != "" && mark == (build.Mark{Generation: cursor.Generation, Position: cursor.Position}) {
		t.mark = mark
		return nil
	}
	if err := t.begin(ctx, cursor.Position); err != nil {
		return err
	}
	return t.fill(ctx)
}

// begin gives up what Redis holds, and what is on its way to the database.
func (t *Tracker) begin(ctx context.Context, position int64) error {
	m := build.Mark{Generation: rand.Text(), Position: position}
	if err := t.db.Begin(ctx, trackerCursor, db.Cursor{Position: position, Generation: m.Generation}); err != nil {
		return fmt.Errorf("begin a generation: %w", err)
	}
	if err := t.state.Reset(ctx, m); err != nil {
		return err
	}
	t.mark = m
	t.metrics.generations.Inc()
	return nil
}

// fill puts builds that are likely to change into an empty Redis.
func (t *Tracker) fill(ctx context.Context) error {
	const page = 500
	since := time.Now().Add(-t.ttl)
	after := ""
	for filled := 0; filled < t.maxFill; filled += page {
		rows, err := t.db.Recent(ctx, since, after, page)
		if err != nil {
			return fmt.Errorf("read recent builds: %w", err)
		}
		if len(rows) == 0 {
			return nil
		}
		builds := make([]build.Encoded, 0, len(rows))
		for _, r := range rows {
			if len(r.Snapshot) > 0 { // not damaged
				builds = append(builds, build.Encoded{ID: r.ID, Data: r.Snapshot})
			}
		}
		if t.mark, err = t.state.Save(ctx, t.mark, t.mark.Position, builds); err != nil {
			return err
		}
		after = rows[len(rows)-1].ID
	}
	return nil
}
