package stats

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/build-tracker/build-tracker/build"
)

// Of says of which builds a tally is: of all, of those of a pipeline, or of those of
// a branch of it. A build without a branch is in the first two only.
type Of struct {
	Organization, Pipeline, Branch string
}

// maxRows bounds the tallies of a day. Branches that come later go uncounted, and
// their builds are in their pipeline's and in the one of all.
const maxRows = 5000

// Day counts the builds that finished on one day. The zero Day has counted none.
type Day struct {
	tallies map[Of]*Tally
}

// Count counts a build of a branch.
func (d *Day) Count(branch Of, b *build.Build) { Count(b, d.of(branch)...) }

// Ended counts an incident of a branch that a build of the day ended: for how long
// the branch was red.
func (d *Day) Ended(branch Of, red time.Duration) {
	for _, t := range d.of(branch) {
		t.Ended(red)
	}
}

// of returns the tallies that a build of a branch belongs to.
func (d *Day) of(branch Of) []*Tally {
	of := []*Tally{d.tally(Of{}), d.tally(Of{Organization: branch.Organization, Pipeline: branch.Pipeline})}
	if branch.Branch != "" {
		of = append(of, d.tally(branch))
	}
	return slices.DeleteFunc(of, func(t *Tally) bool { return t == nil })
}

func (d *Day) tally(of Of) *Tally {
	if t, known := d.tallies[of]; known || of.Branch != "" && len(d.tallies) >= maxRows {
		return t
	}
	if d.tallies == nil {
		d.tallies = make(map[Of]*Tally)
	}
	t := new(Tally)
	d.tallies[of] = t
	return t
}

// All calls yield for each tally, in order.
func (d *Day) All(yield func(Of, *Tally) bool) {
	for _, of := range slices.SortedFunc(maps.Keys(d.tallies), Of.compare) {
		if !yield(of, d.tallies[of]) {
			return
		}
	}
}

func (o Of) compare(p Of) int {
	return cmp.Or(strings.Compare(o.Organization, p.Organization), strings.Compare(o.Pipeline, p.Pipeline), strings.Compare(o.Branch, p.Branch))
}
