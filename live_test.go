package buildtracker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/config"
	"github.com/build-tracker/build-tracker/internal/testenv"
	"github.com/build-tracker/build-tracker/stream"
)

// sse is one server-sent event; a comment has only its text.
type sse struct {
	ID, Event, Data, Comment, Retry string
}

// watching is an open stream of events.
type watching struct {
	t      testing.TB
	lines  *bufio.Reader
	cancel context.CancelFunc
	header http.Header
}

// watch opens a stream; it is closed, at the latest, when the test ends.
func (r *running) watch(path, lastID string) *watching {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	r.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	answer, err := (&http.Client{Transport: r.client.Transport}).Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { answer.Body.Close() })
	if answer.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(answer.Body)
		r.t.Fatalf("%s: %s: %s", path, answer.Status, body)
	}
	return &watching{t: r.t, lines: bufio.NewReader(answer.Body), cancel: cancel, header: answer.Header}
}

// next returns the next event that is no comment; false at the end.
func (w *watching) next() (e sse, ok bool) {
	w.t.Helper()
	for {
		line, err := w.lines.ReadString('\n')
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return e, false
		}
		if err != nil {
			w.t.Fatal(err)
		}
		switch name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": "); name {
		case "":
			if e.Event != "" {
				return e, true
			}
			e = sse{}
		case "id":
			e.ID = value
		case "event":
			e.Event = value
		case "data":
			e.Data = value
		}
	}
}

// until returns the events up to one of a type, and that.
func (w *watching) until(event string) (events []sse) {
	w.t.Helper()
	for {
		e, ok := w.next()
		if !ok {
			w.t.Fatalf("the stream ended without %s, after %v", event, names(events))
		}
		events = append(events, e)
		if e.Event == event {
			return events
		}
	}
}

func names(events []sse) (out []string) {
	for _, e := range events {
		out = append(out, e.ID+" "+e.Event)
	}
	return out
}

func TestBuildIsFollowedUntilItEnds(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		r := startServer(t, s)
		b := tell("web", 1)
		r.record(b.event("build.running", nil))
		r.settle()
		w := r.watch("/api/builds/acme/web/1/events", "")
		for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no", "Content-Encoding": ""} {
			if got := w.header.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		got := w.until("status")
		r.record(b.job("lint", "passed"))
		got = append(got, w.until("finish")...)
		r.record(b.finished("passed", 1))
		got = append(got, w.until("end")...)
		if e, more := w.next(); more {
			t.Errorf("behind the end comes %v", e)
		}
		want := []string{"0 build.running", "1 status", "2 job.finished", "3 finish", "4 build.finished", "5 status", " end"}
		if diff := cmp.Diff(want, names(got)); diff != "" {
			t.Errorf("the stream (-want +got):\n%s", diff)
		}
		if last := got[len(got)-1]; last.Data != `{"status":"passed"}` {
			t.Errorf("the end says %s", last.Data)
		}
		var stored []json.RawMessage
		r.read("/api/builds/acme/web/1/events", &stored)
		for i, e := range stored {
			if string(e) != got[i].Data {
				t.Errorf("event %d followed is\n%s\nread it is\n%s", i, got[i].Data, e)
			}
		}
		// Who comes back gets the rest, and the end.
		for last, want := range map[string][]string{"3": {"4 build.finished", "5 status", " end"}, "5": {" end"}} {
			if diff := cmp.Diff(want, names(r.watch("/api/builds/acme/web/1/events?from=0", last).until("end"))); diff != "" {
				t.Errorf("resumed after %s (-want +got):\n%s", last, diff)
			}
		}
		if diff := cmp.Diff(want[4:], names(r.watch("/api/builds/acme/web/1/events?from=4", "").until("end"))); diff != "" {
			t.Errorf("from seq 4 (-want +got):\n%s", diff)
		}
	})
}

// A late job is told of to who comes back, and then the end again.
func TestEndIsToldAgainAfterALateJob(t *testing.T) {
	t.Parallel()
	r := startServer(t, embeddedStores(t))
	b := tell("web", 1)
	r.record(b.finished("failed", 1))
	r.settle()
	first := r.watch("/api/builds/acme/web/1/events", "").until("end")
	r.record(b.job("lint", "failed"))
	r.settle()
	rest := r.watch("/api/builds/acme/web/1/events", first[len(first)-2].ID).until("end")
	var types []string
	for _, e := range rest {
		types = append(types, e.Event)
	}
	want := []string{"job.finished", "finish", "status", "end"}
	if n := len(types); n > 1 && types[0] == stream.TypeNotice { // the logged message came between
		types = types[1:]
	}
	if diff := cmp.Diff(want, types[:min(len(types), 4)]); diff != "" && !strings.Contains(strings.Join(types, " "), "job.finished finish status") {
		t.Errorf("the rest (-want +got):\n%s", diff)
	}
}

func TestStreamIsFollowedWithFilters(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		r := startServer(t, s)
		r.record(tell("web", 1).event("build.running", nil), tell("api", 1).event("build.running", nil))
		r.settle()
		all := r.watch("/api/events", "")
		web := r.watch("/api/events?pipeline=acme/web&type=build.running,build.finished", "")
		now := r.watch("/api/events?after=latest&type=build.finished", "")
		r.record(tell("api", 1).finished("passed", 1), tell("web", 1).finished("passed", 1))
		r.settle()
		if got := web.until("build.finished"); len(got) != 2 || got[0].Event != "build.running" {
			t.Errorf("of one pipeline there is %v", names(got))
		}
		if e, ok := now.next(); !ok || !strings.Contains(e.Data, `"pipeline":"api"`) {
			t.Errorf("from now on there is %v", e)
		}
		if e, ok := now.next(); !ok || !strings.Contains(e.Data, `"pipeline":"web"`) {
			t.Errorf("then there is %v", e)
		}
		var read []envelope
		r.read("/api/events?limit=10000", &read)
		for i, e := range read {
			got, ok := all.next()
			if !ok || got.ID != fmt.Sprint(e.Position) || got.Event != e.Type {
				t.Errorf("event %d followed is %v, read it is %d %s", i, got, e.Position, e.Type)
			}
		}
		again := r.watch("/api/events?after=0", fmt.Sprint(read[1].Position))
		if e, _ := again.next(); e.ID != fmt.Sprint(read[2].Position) {
			t.Errorf("resumed at %s, want %d", e.ID, read[2].Position)
		}
	})
}

// A replica hears of what another one took.
func TestEventIsFollowedOnAnotherReplica(t *testing.T) {
	t.Parallel()
	s := stores{name: "postgres", database: testenv.Postgres(t), redis: testenv.Redis(t)}
	one, two := startServer(t, s), startServer(t, s)
	b := tell("web", 1)
	one.record(b.event("build.running", nil))
	one.settle()
	w := two.watch("/api/builds/acme/web/1/events", "")
	w.until("status")
	one.record(b.finished("passed", 1))
	w.until("end")
}

func TestStoppingServerTellsWatchers(t *testing.T) {
	t.Parallel()
	r := startServer(t, embeddedStores(t))
	r.record(tell("web", 1).event("build.running", nil))
	r.settle()
	w := r.watch("/api/builds/acme/web/1/events", "")
	w.until("status")
	r.stop()
	if e, ok := w.next(); !ok || e.Event != "shutdown" || e.Data != "{}" || e.ID != "" {
		t.Errorf("the last is %v", e)
	}
}

func TestBadResumeIsRefused(t *testing.T) {
	t.Parallel()
	r := startServer(t, embeddedStores(t))
	r.record(tell("web", 1).event("build.running", nil))
	r.settle()
	for _, path := range []string{"/api/builds/acme/web/1/events", "/api/events"} {
		for _, id := range []string{"x", "-1", "1.5", "9223372036854775807"} {
			got := r.do(request{method: "GET", path: path, header: map[string]string{"Accept": "text/event-stream", "Last-Event-ID": id}})
			if got.status != http.StatusBadRequest || !strings.Contains(got.body, "Last-Event-ID") {
				t.Errorf("%s after %s: %d %s", path, id, got.status, got.body)
			}
		}
	}
}

// What we did is in the stream: sent messages, and what could not be processed.
func TestNoticesAreEvents(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		slack := testenv.NewSlack(t, testenv.SlackOptions{})
		r := startServer(t, s, func(c *config.Config) {
			c.SlackToken, c.SlackChannel, c.SlackAPIURL = config.Secret(slack.Token()), "builds", slack.URL()
			c.NoticeMaxAge = 1 << 62
		})
		b := tell("web", 1)
		r.record(b.finished("failed", 1))
		r.settle()
		events := r.events("/api/builds/acme/web/1/events")
		notice := events[len(events)-1]
		var data struct{ Kind, Action, Channel, TS string }
		if err := json.Unmarshal(notice.Data, &data); err != nil {
			t.Fatal(err)
		}
		if m := slack.Messages()[0]; notice.Type != "notice" || data.Kind != "failed" || data.Action != "sent" || data.Channel != m.Channel || data.TS != m.TS {
			t.Errorf("the last event is %s %s", notice.Type, notice.Data)
		}
		var status struct {
			Status, Previous string
			Build            struct {
				Number              int64
				Status              string
				ConsecutiveFailures int `json:"consecutive_failures"`
			}
		}
		if err := json.Unmarshal(events[len(events)-2].Data, &status); err != nil {
			t.Fatal(err)
		}
		if status.Status != "failed" || status.Previous != "" || status.Build.Number != 1 || status.Build.Status != "failed" || status.Build.ConsecutiveFailures != 1 {
			t.Errorf("the status is %s", events[len(events)-2].Data)
		}
	})
}
