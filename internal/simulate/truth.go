package simulate

import (
	"cmp"
	"slices"
)

// Truth is what the deliveries of a build add up to, in whatever order.
type Truth struct {
	Organization string `json:"organization"`
	Pipeline     string `json:"pipeline"`
	Number       int64  `json:"number"`
	// Status is passed, failed, fixed, canceled, blocked or unknown.
	Status string `json:"status"`
	// ConsecutiveFailures is how many builds of the branch failed in a row, up
	// to this one.
	ConsecutiveFailures int `json:"consecutive_failures"`
	// Announce says whether a message of its own is there at the end; nil where
	// that depends on how fast deliveries came.
	Announce *bool `json:"announce"`

	// ID and Branch are the build's.
	ID     string `json:"-"`
	Branch string `json:"-"`
}

// fact is what was decided about a build.
type fact struct {
	organization, pipeline, branch, id string
	number                             int64
	parent                             *fact // nil for none
	onDefault                          bool
	// status is how its last finish left it.
	status string
	// everFailed: one of its finishes said failed. One that came when the build
	// ran again says nothing.
	everFailed bool
	// flaked: a retry mended one of its steps.
	flaked bool
}

// finish takes what a finish said.
func (f *fact) finish(state string, blocked bool) {
	switch {
	case blocked:
		f.status = "blocked"
	case state == "failed":
		f.status, f.everFailed = "failed", true
	case state == "passed" && (f.everFailed || f.flaked):
		f.status = "fixed"
	default:
		f.status = state
	}
}

// announce follows what contract there is about messages: a build of the
// default branch that failed has one, unless the one that triggered it speaks
// for it.
func (f *fact) announce() *bool {
	yes, no := true, false
	switch {
	case !f.onDefault || !f.everFailed:
		return &no
	case f.status != "failed":
		return nil // it was mended; perhaps before anybody looked
	case f.parent != nil && f.parent.onDefault && f.parent.everFailed:
		return nil // if it was heard of before its parent, it spoke
	}
	return &yes
}

// Truth returns what is true of every build, by organization, pipeline and
// number. It is known when all deliveries were read, and nil where they have no
// end.
func (s *Simulation) Truth() []Truth {
	slices.SortFunc(s.facts, func(x, y *fact) int {
		return cmp.Or(cmp.Compare(x.organization, y.organization), cmp.Compare(x.pipeline, y.pipeline), cmp.Compare(x.number, y.number))
	})
	type row struct{ organization, pipeline, branch string }
	failures := make(map[row]int)
	var truths []Truth
	for _, f := range s.facts {
		at := row{f.organization, f.pipeline, f.branch}
		switch f.status {
		case "failed":
			failures[at]++
		case "passed", "fixed":
			failures[at] = 0
		}
		truths = append(truths, Truth{
			Organization: f.organization, Pipeline: f.pipeline, Number: f.number,
			Status: f.status, ConsecutiveFailures: failures[at], Announce: f.announce(),
			ID: f.id, Branch: f.branch,
		})
	}
	return truths
}
