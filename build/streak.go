package build

import (
	"cmp"
	"slices"
	"time"
)

// Place is one build's part in the history of its branch.
type Place struct {
	ID        string
	Number    int64
	CreatedAt time.Time
	Class     Class
	Streak    Streak
	// Newest: it is the latest failure of a row.
	Newest bool
}

// Recount sets Streak and Newest of every place. The places are builds of one
// branch, from some number on, up to where a row ends; before is the streak of
// the nearest decided build below them, zero for none. They come back in order
// of number.
//
// Builds that failed lengthen the row, builds that passed end it, all others
// are passed over. Of two builds with one number (a pipeline that was deleted
// and made again) only the newer counts.
func Recount(before Streak, places []Place) []Place {
	slices.SortFunc(places, func(x, y Place) int {
		return cmp.Or(cmp.Compare(x.Number, y.Number), x.CreatedAt.Compare(y.CreatedAt), cmp.Compare(x.ID, y.ID))
	})
	row := before
	newest := -1
	for i := range places {
		p := &places[i]
		p.Newest = false
		older := i+1 < len(places) && places[i+1].Number == p.Number
		if !older {
			switch p.Class {
			case ClassFailed:
				row.Failures++
				if row.FirstFailed == 0 {
					row.FirstFailed = p.Number
				}
				newest = i
			case ClassPassed:
				row = Streak{LastPassed: p.Number}
				if newest >= 0 {
					places[newest].Newest = true
				}
				newest = -1
			}
		}
		p.Streak = row
	}
	if newest >= 0 {
		places[newest].Newest = true
	}
	return places
}

// Before returns the streak that a build of this streak and class was counted
// on from.
func (s Streak) Before(c Class) Streak {
	switch {
	case c == ClassPassed:
		return Streak{} // what was before ended with it
	case c == ClassFailed && s.Failures == 1:
		return Streak{LastPassed: s.LastPassed}
	case c == ClassFailed:
		return Streak{Failures: s.Failures - 1, FirstFailed: s.FirstFailed, LastPassed: s.LastPassed}
	}
	return s
}
