package stream

import (
	"context"
	"slices"
)

// BuildStore is where the events of builds are read. What it returns belongs to
// all who watch a build: nobody changes it.
type BuildStore interface {
	// ReadBuild returns the stored events of a build from a seq on, in order and
	// at most limit of them. It may return fewer, but at least one, when their
	// data would exceed a few MiB. None means that nothing is stored from there on.
	ReadBuild(ctx context.Context, buildID string, from int64, limit int) ([]Event, error)
	// NextSeqs returns the seq that each build's next event gets. A build for
	// which nothing was ever recorded is missing. What retention has dropped
	// counts.
	NextSeqs(ctx context.Context, buildIDs []string) (map[string]int64, error)
	// LastTold returns the latest stored event of a build that Buildkite sent or
	// that is a status; the zero Event when there is none.
	LastTold(ctx context.Context, buildID string) (Event, error)
}

// StreamStore is where the whole stream is read.
type StreamStore interface {
	// ReadStream returns the stored events that the filter selects with positions
	// above after, in order, as many as ReadBuild would.
	ReadStream(ctx context.Context, q Filter, after int64, limit int) ([]Event, error)
	// Head returns the highest position that was committed, 0 for none.
	Head(ctx context.Context) (int64, error)
	// Dropped returns the highest position that retention has dropped, 0 for none.
	Dropped(ctx context.Context) (int64, error)
}

// Filter selects events of the whole stream. Empty fields select all.
type Filter struct {
	Organization string
	Pipeline     string
	Types        []string
}

// selects says whether an event passes, as ReadStream would. A nil filter
// selects all.
func (q *Filter) selects(e *Event) bool {
	return q == nil || (q.Organization == "" || q.Organization == e.Organization) &&
		(q.Pipeline == "" || q.Pipeline == e.Pipeline) &&
		(len(q.Types) == 0 || slices.Contains(q.Types, e.Type))
}
