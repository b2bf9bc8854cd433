package analytics

import (
	"context"
	"fmt"
	"strings"

	"github.com/build-tracker/build-tracker/buildkite"
	"github.com/build-tracker/build-tracker/stream"
)

// Events are the stored events of builds.
type Events interface {
	// StatusBefore returns the last status event of a build whose seq is below seq;
	// the zero Event for none.
	StatusBefore(ctx context.Context, buildID string, seq int64) (stream.Event, error)
}

// Deriver derives rows from events that it is given in the order of the stream.
// It remembers how builds stood, as a cache: it may begin anywhere. One goroutine
// uses it.
type Deriver struct {
	events Events
	known  standings
}

// NewDeriver returns a Deriver that looks up what it does not remember.
func NewDeriver(events Events) *Deriver { return &Deriver{events: events} }

// Append appends the rows that follow from an event to dst. An event that cannot
// be read becomes a row of the table events, and one of rejected for what it lacks
// then; the error is that of Events.
func (d *Deriver) Append(ctx context.Context, dst []Row, e *stream.Event) ([]Row, error) {
	switch {
	case e.Type == stream.TypeStatus:
		return d.appendStatus(ctx, dst, e)
	case e.Type == stream.TypeNotice:
		return append(dst, eventRow(e, ""), noticeRow(e)), nil
	case strings.HasPrefix(e.Type, "agent."):
		return append(dst, eventRow(e, ""), agentRow(e)), nil
	case stream.Ours(e.Type):
		return append(dst, eventRow(e, "")), nil
	}
	return append(dst, eventRow(e, buildkite.Branch(e.Data))), nil
}

func (d *Deriver) appendStatus(ctx context.Context, dst []Row, e *stream.Event) ([]Row, error) {
	s, err := readStatus(e)
	if err != nil {
		return append(dst, eventRow(e, ""), unreadable(builds, e, err)), nil
	}
	dst = append(dst, eventRow(e, s.Build.Branch))
	before, err := d.before(ctx, s)
	if err != nil {
		return dst, err
	}
	d.known.put(e.BuildID, s.standing())
	return s.rows(dst, before), nil
}

// before returns how the build stood at the status event before; nil for none.
func (d *Deriver) before(ctx context.Context, s *status) (*standing, error) {
	if s.Previous == "" {
		return nil, nil
	}
	if known := d.known.get(s.event.BuildID); known != nil {
		return known, nil
	}
	e, err := d.events.StatusBefore(ctx, s.event.BuildID, s.event.Seq)
	if err != nil {
		return nil, fmt.Errorf("look up how build %s stood: %w", s.event.BuildID, err)
	}
	if e.Position == 0 {
		return nil, nil
	}
	if before, err := readStatus(&e); err == nil {
		return before.standing(), nil
	}
	return nil, nil // nobody could read it then, either
}

// standings remembers how builds stood that were heard of lately. It keeps two
// generations: what is used moves to the young one, and when that is full it
// becomes the old one.
type standings struct {
	young, old map[string]*standing
	size       int // of young
}

// maxStandings bounds each generation: a build counts as one, and each of its jobs.
const maxStandings = 200_000

func (s *standings) get(buildID string) *standing {
	if known, ok := s.young[buildID]; ok {
		return known
	}
	return s.old[buildID]
}

func (s *standings) put(buildID string, now *standing) {
	if before, ok := s.young[buildID]; ok {
		s.size -= before.size()
	}
	if s.young == nil || s.size+now.size() > maxStandings {
		s.young, s.old, s.size = make(map[string]*standing), s.young, 0
	}
	s.young[buildID] = now
	s.size += now.size()
}
