package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// watcher follows a build, or the whole stream, as a browser does: when its
// connection ends, it goes on at whichever server is next, behind what it has.
type watcher struct {
	// path is of the events of a build, or of all.
	path string
	// whole says that it is of all: ids grow, and may leave out some.
	whole bool
	// target returns a server to connect to.
	target func() string
	// leave says after an event whether to go elsewhere; nil is never.
	leave func() bool
	// heard, if not nil, is told of each event.
	heard func(watched)

	client *http.Client
	events []watched
	end    string       // the status that the build ended with
	at     atomic.Int64 // the id of the latest event
	came   int          // connections
}

// watched is an event as a watcher got it.
type watched struct {
	id   int64
	typ  string
	data [sha256.Size]byte // of its envelope
}

// String returns what a person would look for.
func (e watched) String() string { return fmt.Sprint(e.id, " ", e.typ) }

// wrongError is what no server may answer.
type wrongError struct{ error }

// follow returns nil at the end of the build's stream. The whole stream ends with
// ctx alone. All that a server may do is made up for by connecting again.
func (w *watcher) follow(ctx context.Context) error {
	w.at.Store(-1)
	for pause := leastPause; ; pause = min(2*pause, mostPause) {
		before := len(w.events)
		ended, err := w.connect(ctx)
		switch {
		case ended:
			return nil
		case errors.As(err, new(wrongError)):
			return fmt.Errorf("%s: %w", w.path, err)
		case ctx.Err() != nil:
			return fmt.Errorf("%s has no end, after %d events over %d connections; the last error was: %w", w.path, len(w.events), w.came, err)
		case len(w.events) > before:
			pause = leastPause / 2
		case err != nil:
			_ = sleep(ctx, pause) // its end is seen above
		}
	}
}

// How long a watcher waits that got nothing: twice as long each time.
const (
	leastPause = 50 * time.Millisecond
	mostPause  = time.Second
)

// connect follows over one connection. It says whether the stream has ended.
func (w *watcher) connect(ctx context.Context) (ended bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.target()+w.path, nil)
	if err != nil {
		return false, wrongError{err}
	}
	req.Header.Set("Accept", "text/event-stream")
	if last := w.at.Load(); last >= 0 {
		req.Header.Set("Last-Event-ID", strconv.FormatInt(last, 10))
	}
	res, err := w.client.Do(req)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusServiceUnavailable: // not yet, or not now
		return false, fmt.Errorf("answered %s", res.Status)
	default:
		text, _ := io.ReadAll(io.LimitReader(res.Body, 1000)) // for the message
		return false, wrongError{fmt.Errorf("answered %s: %s", res.Status, text)}
	}
	w.came++
	for events := newEventStream(res.Body); ; {
		e, err := events.next()
		if err != nil {
			return false, err
		}
		switch e.Type {
		case "end":
			w.end = string(e.Data)
			return true, nil
		case "shutdown":
			return false, nil
		}
		if err := w.take(e); err != nil {
			return false, wrongError{err}
		}
		if w.leave != nil && w.leave() {
			return false, nil
		}
	}
}

// take checks that an event is the next one.
func (w *watcher) take(e serverEvent) error {
	id, err := strconv.ParseInt(e.ID, 10, 64)
	if last := w.at.Load(); err != nil || id <= last || !w.whole && id != last+1 {
		return fmt.Errorf("a %s with the id %q comes after %d", e.Type, e.ID, last)
	}
	got := watched{id: id, typ: e.Type, data: sha256.Sum256(e.Data)}
	w.events = append(w.events, got)
	w.at.Store(id)
	if w.heard != nil {
		w.heard(got)
	}
	return nil
}

// check compares what was seen of a build with all that is stored of it: nothing
// is missing but what came behind the end, which is about what we did.
func (w *watcher) check(stored []watched) error {
	if len(stored) < len(w.events) {
		return fmt.Errorf("%s: %d events were seen and %d are stored", w.path, len(w.events), len(stored))
	}
	for i, e := range w.events {
		if stored[i] != e {
			return fmt.Errorf("%s: seen was %v, stored is %v, or has other data", w.path, e, stored[i])
		}
	}
	if w.whole {
		return nil
	}
	told := len(w.events)
	for told > 0 && w.events[told-1].typ == "notice" {
		told--
	}
	if told == 0 || w.events[told-1].typ != "status" {
		return fmt.Errorf("%s: the end does not come behind a status, after %v", w.path, w.events)
	}
	for _, e := range stored[len(w.events):] {
		if e.typ != "status" && e.typ != "notice" {
			return fmt.Errorf("%s: the end came before %v", w.path, e)
		}
	}
	return nil
}

// stored is all events a server has, of the whole stream and by the path of each
// build's, as watchers see them.
type stored struct {
	all    []watched
	byPath map[string][]watched
}

// readStored reads the whole stream.
func readStored(ctx context.Context, url string) (s stored, err error) {
	s.byPath = make(map[string][]watched)
	for after := int64(0); ; {
		var page []json.RawMessage
		if err := getJSON(ctx, fmt.Sprintf("%s/api/events?limit=5000&after=%d", url, after), &page); err != nil {
			return s, err
		}
		if len(page) == 0 {
			return s, nil
		}
		for _, text := range page {
			var e struct {
				Position               int64
				Organization, Pipeline string
				Number, Seq            int64
				Type                   string
			}
			if err := json.Unmarshal(text, &e); err != nil {
				return s, err
			}
			after = e.Position
			got := watched{id: e.Position, typ: e.Type, data: sha256.Sum256(text)}
			s.all = append(s.all, got)
			got.id = e.Seq
			path := eventsPath(e.Organization, e.Pipeline, e.Number)
			s.byPath[path] = append(s.byPath[path], got)
		}
	}
}

func eventsPath(organization, pipeline string, number int64) string {
	return fmt.Sprintf("/api/builds/%s/%s/%d/events", organization, pipeline, number)
}

func getJSON(ctx context.Context, url string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := asker.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, res.Status)
	}
	return json.NewDecoder(res.Body).Decode(into)
}
