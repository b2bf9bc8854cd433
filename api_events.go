package buildtracker

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/stream"
)

const (
	defaultEvents = 100
	maxEvents     = 10_000
	eventsAtOnce  = 500
	// maxTypes bounds the types of events that a request selects.
	maxTypes = 50
)

// buildEvents answers all events of a build, from a seq on: as an array, or as a
// stream that goes on until the build has ended.
func (a *api) buildEvents(w http.ResponseWriter, r *http.Request) error {
	from, err := intParam(r.URL.Query(), "from", 0, 0, 1<<62)
	if err != nil {
		return err
	}
	if follows(r) {
		return a.followBuild(w, r, from)
	}
	return a.listBuild(w, r, from)
}

func (a *api) listBuild(w http.ResponseWriter, r *http.Request, from int64) error {
	row, err := a.findEvents(r)
	if err != nil {
		return err
	}
	next := func() ([]stream.Event, error) {
		events, err := a.stream.ReadBuild(r.Context(), row.ID, from, eventsAtOnce)
		if len(events) > 0 {
			from = events[len(events)-1].Seq + 1
		}
		return events, err
	}
	wanted := from
	events, err := next()
	if err != nil {
		return unavailable("The database did not answer. Try again.", err)
	}
	var first int64
	if len(events) > 0 {
		first = events[0].Seq
	} else if first, err = a.firstAhead(r, row.ID, wanted); err != nil {
		return err
	}
	if first > wanted {
		return gone(first, fmt.Sprintf("Retention has dropped this build's events before seq %d. Ask with ?from=%d for those there are.", first, first))
	}
	return writeEvents(w, events, next)
}

// followBuild serves a build's events live.
func (a *api) followBuild(w http.ResponseWriter, r *http.Request, from int64) error {
	var f followed
	var err error
	apart(func() { f, err = a.toFollow(r) })
	switch {
	case err != nil:
		return err
	case f.over:
		return a.live.over(w, r, from, f.next, f.status)
	default:
		return a.live.build(w, r, f.buildID, from)
	}
}

// followed is a build as who follows it finds it. It may be over, with no event
// left that says so; then next is the seq of one that may still come.
type followed struct {
	buildID string
	status  build.Status
	over    bool
	next    int64
}

func (a *api) toFollow(r *http.Request) (f followed, err error) {
	row, err := a.findEvents(r)
	if err != nil {
		return f, err
	}
	f.buildID, f.status = row.ID, row.Status
	if row.Status == build.Running {
		return f, nil
	}
	told, err := a.stream.LastTold(r.Context(), row.ID)
	if err != nil {
		return f, unavailable("The database did not answer. Try again.", err)
	}
	if told.Type != "" {
		return f, nil
	}
	f.over = true
	f.next, err = a.firstAhead(r, row.ID, 0)
	return f, err
}

// firstAhead returns the seq that a build's next event gets when what is wanted
// has been dropped, all of it; else what is wanted.
func (a *api) firstAhead(r *http.Request, buildID string, wanted int64) (int64, error) {
	next, err := a.builds.NextSeqs(r.Context(), []string{buildID})
	if err != nil {
		return 0, unavailable("The database did not answer. Try again.", err)
	}
	return max(wanted, next[buildID]), nil
}

// gone is that what was asked for was dropped, with the first seq or position there is.
func gone(first int64, detail string) *problem {
	p := fail(http.StatusGone, detail)
	p.First = first
	return p
}

// events answers the whole stream behind a position: a part of it as an array,
// or as a stream that goes on.
func (a *api) events(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	selected, err := filterParams(query)
	if err != nil {
		return err
	}
	after, err := a.afterParam(r)
	if err != nil {
		return err
	}
	if follows(r) {
		return a.live.events(w, r, selected, after)
	}
	limit, err := intParam(query, "limit", defaultEvents, 1, maxEvents)
	if err != nil {
		return err
	}
	left := int(limit)
	next := func() ([]stream.Event, error) {
		if left == 0 {
			return nil, nil
		}
		events, err := a.stream.ReadAll(r.Context(), db.ReadQuery{
			After: after, Limit: min(left, eventsAtOnce),
			Organization: selected.Organization, Pipeline: selected.Pipeline, Types: selected.Types,
		})
		if len(events) > 0 {
			after = events[len(events)-1].Position
			left -= len(events)
		}
		return events, err
	}
	through, err := a.dropped(r.Context(), after)
	if err != nil {
		return err
	}
	events, err := next()
	if err != nil {
		return unavailable("The database did not answer. Try again.", err)
	}
	if through > 0 {
		w.Header().Set(droppedThrough, strconv.FormatInt(through, 10))
	}
	return writeEvents(w, events, next)
}

// droppedThrough is the header of an answer in which events up to its position may
// be missing.
const droppedThrough = "Dropped-Through"

// dropped refuses to begin behind a position where retention has dropped the event
// that came next: the refusal has the first that there is, and who asks from there on
// gets it. Days are dropped for each team on its own, so that others may be missing
// further on: then it returns up to where, else 0.
func (a *api) dropped(ctx context.Context, after int64) (through int64, err error) {
	dropped, err := a.stream.Dropped(ctx)
	if err != nil {
		return 0, unavailable("The database did not answer. Try again.", err)
	}
	if after >= dropped {
		return 0, nil
	}
	rest, err := a.stream.ReadAll(ctx, db.ReadQuery{After: after, Limit: 1})
	if err != nil {
		return 0, unavailable("The database did not answer. Try again.", err)
	}
	first := dropped + 1
	if len(rest) > 0 {
		first = rest[0].Position
	}
	if first == after+1 {
		return dropped, nil
	}
	p := gone(first, fmt.Sprintf("Retention has dropped what came behind position %d. Ask with ?after=%d for what there is, from position %d on; events up to position %d may be missing in it.",
		after, first-1, first, max(dropped, first-1)))
	p.Dropped = dropped
	return 0, p
}

// afterParam reads the position to begin behind: a number, or latest for what is
// recorded from now on.
func (a *api) afterParam(r *http.Request) (int64, error) {
	query := r.URL.Query()
	if query.Get("after") != "latest" {
		return intParam(query, "after", 0, 0, 1<<62)
	}
	head, err := a.stream.Head(r.Context())
	if err != nil {
		return 0, unavailable("The database did not answer. Try again.", err)
	}
	return head, nil
}

// filterParams reads which events of the stream are wanted.
func filterParams(query url.Values) (f stream.Filter, err error) {
	if f.Organization, f.Pipeline, err = pipelineParam(query); err != nil {
		return f, err
	}
	if f.Pipeline != "" && f.Organization == "" {
		return f, fail(http.StatusBadRequest, "The parameter pipeline is ORGANIZATION/PIPELINE.")
	}
	for _, types := range query["type"] {
		for typ := range strings.SplitSeq(types, ",") {
			if typ = strings.TrimSpace(typ); typ != "" {
				f.Types = append(f.Types, typ)
			}
		}
	}
	if len(f.Types) > maxTypes {
		return f, fail(http.StatusBadRequest, fmt.Sprintf("The parameter type names at most %d types.", maxTypes))
	}
	return f, nil
}

// writeEvents writes events, and those that next returns, until it returns none,
// as a JSON array, without holding them all. If a read fails when the answer has
// begun, the connection is cut: a client must not take the part for the whole.
func writeEvents(w http.ResponseWriter, events []stream.Event, next func() ([]stream.Event, error)) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	out := bufio.NewWriterSize(w, 64<<10)
	out.WriteByte('[')
	first := true
	for len(events) > 0 {
		for i := range events {
			if !first {
				out.WriteByte(',')
			}
			first = false
			if !json.Valid(events[i].Data) { // damaged: it would spoil the whole array
				events[i].Data = nil
			}
			out.Write(events[i].AppendJSON(out.AvailableBuffer()))
		}
		var err error
		if events, err = next(); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	out.WriteString("]\n")
	out.Flush()
	return nil
}
