package buildtracker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/build-tracker/build-tracker/config"
	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/stream"
)

const (
	// remoteTimeout bounds an answer of the server, and remoteTries how often it is
	// asked where it cannot answer now.
	remoteTimeout = time.Minute
	remoteTries   = 5
	// remotePage is after how much data a page of events ends, in bytes.
	remotePage = 4 << 20
	// maxRemoteEvent bounds an event, in bytes: a delivery has 5 MiB at most.
	maxRemoteEvent = 16 << 20
	// maxProblem bounds what is read of an error, in bytes.
	maxProblem = 64 << 10
	// statusWindow is how many events of a build are looked at first for a status.
	statusWindow = 32
)

// remoteEvents are the events of a running server, as its API tells them. They are
// the same as its store's, except that an event knows its build only as far as rows
// follow from that.
type remoteEvents struct {
	http   *http.Client
	server *config.Client
	// retry is how long a failed request waits at first.
	retry time.Duration
	// reached: the server has answered. One that never did is not waited for.
	reached atomic.Bool

	mu      sync.Mutex // guards what follows
	builds  recentBuilds
	dropped int64 // the highest position that retention has dropped, as far as heard
}

func newRemoteEvents(server *config.Client) *remoteEvents {
	return &remoteEvents{http: &http.Client{Timeout: remoteTimeout}, server: server, retry: 500 * time.Millisecond}
}

// Close releases the connections.
func (r *remoteEvents) Close() error {
	r.http.CloseIdleConnections()
	return nil
}

// ReadAll is exportSource's. What retention has dropped is passed over.
func (r *remoteEvents) ReadAll(ctx context.Context, q db.ReadQuery) ([]stream.Event, error) {
	events, err := r.page(ctx, q)
	var gone *goneError
	for errors.As(err, &gone) && gone.first > q.After+1 {
		q.After = gone.first - 1
		events, err = r.page(ctx, q)
	}
	return events, err
}

// Dropped is exportSource's.
func (r *remoteEvents) Dropped(ctx context.Context) (int64, error) {
	_, err := r.page(ctx, db.ReadQuery{Limit: 1})
	if gone := new(goneError); errors.As(err, &gone) {
		err = nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dropped, err
}

func (r *remoteEvents) page(ctx context.Context, q db.ReadQuery) ([]stream.Event, error) {
	query := url.Values{"after": {strconv.FormatInt(q.After, 10)}, "limit": {strconv.Itoa(cmp.Or(q.Limit, eventsAtOnce))}}
	var events []stream.Event
	err := r.each(ctx, "/api/events?"+query.Encode(), func() func(*stream.Event) bool {
		events = nil
		bytes := 0
		return func(e *stream.Event) bool {
			bytes += len(e.Data)
			if q.UpTo != 0 && e.Position > q.UpTo || bytes > remotePage && len(events) > 0 {
				return false
			}
			events = append(events, *e)
			return true
		}
	})
	if err != nil {
		return nil, err
	}
	for i := range events {
		if err := r.know(ctx, &events[i]); err != nil {
			return nil, err
		}
	}
	return events, nil
}

// know fills in the build of an event.
func (r *remoteEvents) know(ctx context.Context, e *stream.Event) error {
	if e.BuildID == "" {
		return nil
	}
	at := buildAddress{e.Organization, e.Pipeline, e.Number}
	switch e.Type {
	case stream.TypeStatus:
		if id := buildOf(e); id != "" {
			e.BuildID = id
			r.mu.Lock()
			defer r.mu.Unlock()
			r.builds.put(id, at)
		}
	case stream.TypeNotice: // its data does not name it
		r.mu.Lock()
		id := r.builds.at(at)
		r.mu.Unlock()
		if id == "" {
			var err error
			if id, err = r.buildAt(ctx, at); err != nil {
				return err
			}
		}
		e.BuildID = id
	}
	return nil
}

// buildOf returns the id of the build that the data of an event shows.
func buildOf(e *stream.Event) string {
	var data struct {
		Build struct {
			ID string `json:"id"`
		} `json:"build"`
	}
	if json.Unmarshal(e.Data, &data) != nil {
		return "" // nothing follows from it but the event itself
	}
	return data.Build.ID
}

// buildAt returns the id of the build at an address; of several, the newest.
func (r *remoteEvents) buildAt(ctx context.Context, at buildAddress) (string, error) {
	var b struct {
		ID string `json:"id"`
	}
	err := r.get(ctx, at.path(), func(body *io.LimitedReader) error { return json.NewDecoder(body).Decode(&b) })
	return b.ID, err
}

// StatusBefore is analytics.Events'. The build is one of which an event was read.
func (r *remoteEvents) StatusBefore(ctx context.Context, buildID string, seq int64) (stream.Event, error) {
	r.mu.Lock()
	at, known := r.builds.address(buildID)
	r.mu.Unlock()
	if !known {
		return stream.Event{}, fmt.Errorf("the address of build %s is not known", buildID)
	}
	// It is one of the last before seq, as a rule.
	end := seq
	for window := int64(statusWindow); end > 0; window *= 8 {
		begin := max(0, end-window)
		last, err := r.lastStatus(ctx, at, begin, end, buildID)
		var gone *goneError
		if errors.As(err, &gone) {
			if gone.first >= end {
				return stream.Event{}, nil
			}
			last, err = r.lastStatus(ctx, at, gone.first, end, buildID)
			begin = 0
		}
		if err != nil || last.Position > 0 {
			return last, err
		}
		end = begin
	}
	return stream.Event{}, nil
}

// lastStatus returns the last status event of a build with a seq from begin on and
// below end; the zero Event for none.
func (r *remoteEvents) lastStatus(ctx context.Context, at buildAddress, begin, end int64, buildID string) (stream.Event, error) {
	var last stream.Event
	err := r.each(ctx, at.path()+"/events?from="+strconv.FormatInt(begin, 10), func() func(*stream.Event) bool {
		last = stream.Event{}
		return func(e *stream.Event) bool {
			if e.Seq < end && e.Type == stream.TypeStatus && buildOf(e) == buildID {
				last = *e
			}
			return e.Seq+1 < end
		}
	})
	last.BuildID = buildID
	return last, err
}
