package db

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// RetainQuery says what Retain removes. Each age is above 0.
type RetainQuery struct {
	Now time.Time
	// Events is how long events are kept, from the end of the UTC day on which the
	// first of their build was recorded; Teams is the same for teams with an age of
	// their own.
	Events time.Duration
	Teams  map[string]time.Duration
	// Builds is how long builds are kept after they finished, or were created when
	// they never did; never less than their events.
	Builds time.Duration
	// Deliveries is how long a second delivery of an event is known as one.
	Deliveries time.Duration
}

// Retained is what Retain removed.
type Retained struct {
	// Elsewhere: another call is at it, here or in another replica. Nothing was done.
	Elsewhere bool
	Days      []DroppedDay
	// Builds and Deliveries count rows.
	Builds, Deliveries int64
}

// DroppedDay is the events of a team's builds whose first event was recorded on
// one day.
type DroppedDay struct {
	Team string
	Day  time.Time // its start, UTC
	// Position is the highest of its events; 0 for none.
	Position int64
	Events   int64
	// Lost counts those that a cursor had not read, and Behind names the cursors:
	// at twice the age they waited no longer.
	Lost   int64
	Behind string
}

// A day's events are kept while they are young. When they are old they go as soon
// as every cursor is past them, and when they are overdue at once.
type age int

const (
	young age = iota
	old
	overdue
)

func (q *RetainQuery) age(team string, day time.Time) age {
	keep, ok := q.Teams[team]
	if !ok {
		keep = q.Events
	}
	switch since := q.Now.Sub(day.AddDate(0, 0, 1)); {
	case since < keep:
		return young
	case since < 2*keep:
		return old
	default:
		return overdue
	}
}

// day is a day as a store drops it.
type day struct {
	DroppedDay
	noted        bool   // and about to go
	parent, leaf string // its tables, on PostgreSQL
}

// dayStore is how a store drops a day, step by step. What is cut off before record
// begins anew, and after it goes on with remove.
type dayStore interface {
	// tally counts the day's events, and those that a cursor has not read.
	tally(ctx context.Context, d *day) error
	// seal has the next event of each of the day's builds stamp that build anew.
	// After it the day gets no more events.
	seal(ctx context.Context, d *day) error
	// record notes that the day is about to go.
	record(ctx context.Context, d *day) error
	// remove removes its events, and the note with the last of them.
	remove(ctx context.Context, d *day) error
}

// dropDays drops those of the days that are due, those noted first. What fails for
// one, such as the wait for a lock, does not keep the others.
func (q *RetainQuery) dropDays(ctx context.Context, s dayStore, days []day) (dropped []DroppedDay, err error) {
	var errs []error
	for i := range days {
		d := &days[i]
		gone, err := q.dropDay(ctx, s, d)
		if err != nil {
			errs = append(errs, fmt.Errorf("drop the events of team %s of %s: %w", d.Team, d.Day.Format(time.DateOnly), err))
		}
		if gone {
			dropped = append(dropped, d.DroppedDay)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return dropped, errors.Join(errs...)
}

// dropDay says whether it dropped the day.
func (q *RetainQuery) dropDay(ctx context.Context, s dayStore, d *day) (bool, error) {
	if !d.noted {
		if due, err := q.note(ctx, s, d); err != nil || !due {
			return false, err
		}
	}
	err := s.remove(ctx, d)
	return err == nil, err
}

// note seals and notes a day that is due, and says whether it is.
func (q *RetainQuery) note(ctx context.Context, s dayStore, d *day) (bool, error) {
	age := q.age(d.Team, d.Day)
	if age == young {
		return false, nil
	}
	waits := func() bool { return d.Lost > 0 && age == old }
	if err := s.tally(ctx, d); err != nil || waits() {
		return false, err
	}
	if err := s.seal(ctx, d); err != nil {
		return false, err
	}
	// Again: an event may have come before it was sealed.
	if err := s.tally(ctx, d); err != nil || waits() {
		return false, err
	}
	return true, s.record(ctx, d)
}

// inChunks calls remove, which removes at most limit rows, until there are fewer.
func inChunks(limit int64, remove func() (int64, error)) (total int64, err error) {
	for {
		n, err := remove()
		total += n
		if err != nil || n < limit {
			return total, err
		}
	}
}

// readers are where the cursors stand, by name.
type readers map[string]int64

// least is the lowest. Where there is no cursor yet nothing was read.
func (r readers) least() int64 {
	least, any := int64(0), false
	for _, at := range r {
		if !any || at < least {
			least, any = at, true
		}
	}
	return least
}

// behind names those that stand below a position.
func (r readers) behind(position int64) string {
	var names []string
	for name, at := range r {
		if at < position {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
