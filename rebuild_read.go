package buildtracker

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/stream"
)

// roundSize is how many builds and events a round has at most. A build that has
// more events is a round, and read in pieces.
type roundSize struct{ builds, events int }

// rebuildRound are builds that are recomputed together.
type rebuildRound struct {
	size roundSize
	ids  []string
	// events are those that Buildkite sent, up to position to, by build.
	events map[string][]decoded
	to     int64
	err    error // there are no more rounds
}

// readRounds reads all builds' events up to a position, a round ahead of whoever
// takes the rounds, until there are no more or end is called.
func (t *Tracker) readRounds(ctx context.Context, to int64, size roundSize) (_ <-chan *rebuildRound, end func()) {
	ctx, cancel := context.WithCancel(ctx)
	rounds := make(chan *rebuildRound)
	go func() {
		defer close(rounds)
		for after := ""; ; {
			round, err := t.readRound(ctx, after, to, size)
			if err != nil {
				round = &rebuildRound{err: err}
			} else if len(round.ids) == 0 {
				return
			}
			select {
			case rounds <- round:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
			after = round.ids[len(round.ids)-1]
		}
	}()
	return rounds, func() {
		cancel()
		for range rounds { // until it has ended
		}
	}
}

// readRound reads the round behind a build; one without builds is none.
func (t *Tracker) readRound(ctx context.Context, after string, to int64, size roundSize) (_ *rebuildRound, err error) {
	defer func() {
		if r := recover(); r != nil {
			t.log.Error("panic while reading builds", "after", after, "panic", r, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	ids, err := t.db.BuildIDs(ctx, after, size.builds)
	if err != nil {
		return nil, fmt.Errorf("list builds: %w", err)
	}
	next, err := t.db.NextSeqs(ctx, ids)
	if err != nil {
		return nil, err
	}
	events := 0
	for i, id := range ids {
		if events += int(next[id]); events > size.events {
			ids = ids[:max(i, 1)]
			break
		}
	}
	round := &rebuildRound{size: size, ids: ids, events: make(map[string][]decoded, len(ids))}
	return round, t.readBuilds(ctx, round, to)
}

// readBuilds adds the events up to a position that a round lacks.
func (t *Tracker) readBuilds(ctx context.Context, round *rebuildRound, to int64) error {
	for ids := round.ids; len(ids) > 0; {
		queries := make([]db.BuildQuery, len(ids))
		for i, id := range ids {
			queries[i] = db.BuildQuery{ID: id, UpTo: to, Limit: round.size.events}
			if known := round.events[id]; len(known) > 0 {
				queries[i].From = known[len(known)-1].Seq + 1
			}
		}
		found, err := t.decodeEach(func(do func(*stream.Event) error) error {
			return t.db.EachOfBuilds(ctx, queries, do)
		})
		if err != nil {
			return fmt.Errorf("read events of builds: %w", err)
		}
		ids = nil
		for begin, i := 0, 1; i <= len(found); i++ {
			id := found[begin].BuildID
			if i < len(found) && found[i].BuildID == id {
				continue
			}
			if i-begin >= round.size.events { // there may be more
				ids = append(ids, id)
			}
			if known := round.events[id]; len(known) > 0 {
				round.events[id] = append(known, found[begin:i]...)
			} else {
				round.events[id] = found[begin:i:i]
			}
			begin = i
		}
	}
	round.to = to
	return nil
}
