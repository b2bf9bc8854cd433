package buildtracker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/stream"
)

const (
	// maxWatchers bounds the streams that one replica serves at a time.
	maxWatchers = 20_000
	// writeTimeout bounds how long a client may take nothing. It is longer than a
	// heartbeat, so that the next write puts the deadline off before it comes:
	// thousands of timers that end for nothing cost more than the writes.
	writeTimeout = heartbeat + 10*time.Second
	// retryHint is how long a client waits before it connects again.
	retryHint = 2 * time.Second
	// troubleWait is how long a stream waits after the store did not answer.
	troubleWait = time.Second
	// maxEventID bounds what is taken for the id of an event, so that there is one
	// behind it.
	maxEventID = 1 << 62
	// maxWrite is how much is gathered before it is written, in bytes, while there
	// is more at hand.
	maxWrite = 64 << 10
)

// follower opens what live serves.
type follower interface {
	Build(buildID string, from int64) (*stream.EventSource, error)
	Stream(q stream.Filter, after int64) (*stream.EventSource, error)
}

// live serves events as they come, as server-sent events.
type live struct {
	follower follower
	metrics  *streamMetrics
	log      *slog.Logger
	beats    heartbeats
	watchers atomic.Int64
	buffers  sync.Pool // of *bytes.Buffer

	mu    sync.Mutex
	quiet sometimes // under mu: all streams have the same trouble
}

// follows says whether a request wants a stream rather than an array.
func follows(r *http.Request) bool {
	for _, accept := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(accept, ",") {
			media, _, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(media), "text/event-stream") {
				return true
			}
		}
	}
	return false
}

// lastEventID returns the id of the last event a client got; false without one.
func lastEventID(r *http.Request) (int64, bool, error) {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		return 0, false, nil
	}
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 0 || id > maxEventID {
		return 0, false, fail(http.StatusBadRequest, "The Last-Event-ID header is not one of ours. Leave it out to begin anew.")
	}
	return id, true, nil
}

// build serves a build's events from a seq on, until the build has ended.
func (l *live) build(w http.ResponseWriter, r *http.Request, buildID string, from int64) error {
	last, resumed, err := lastEventID(r)
	if err != nil {
		return err
	}
	if resumed {
		from = last + 1
	}
	return l.serve(w, r, following{
		id:   func(e *stream.Event) int64 { return e.Seq },
		open: func() (*stream.EventSource, error) { return l.follower.Build(buildID, from) },
	})
}

// following is one request for a stream.
type following struct {
	// id is the id that an event has in this stream.
	id func(*stream.Event) int64
	// first is the id that a client has before the first event; empty for none.
	first string
	open  func() (*stream.EventSource, error)
}

// events serves the whole stream from behind a position on.
func (l *live) events(w http.ResponseWriter, r *http.Request, q stream.Filter, after int64) error {
	last, resumed, err := lastEventID(r)
	if err != nil {
		return err
	}
	if resumed {
		after = last
	}
	return l.serve(w, r, following{
		id: func(e *stream.Event) int64 { return e.Position },
		// Who loses the connection before the first event comes back to this, not to
		// what is the latest by then.
		first: strconv.FormatInt(after, 10),
		open:  func() (*stream.EventSource, error) { return l.follower.Stream(q, after) },
	})
}

// serve writes what a source has until it ends, the client goes, or the server stops.
func (l *live) serve(w http.ResponseWriter, r *http.Request, f following) error {
	defer l.watchers.Add(-1)
	if l.watchers.Add(1) > maxWatchers {
		l.metrics.refused.Inc()
		return unavailable("As many streams are open as this replica serves. Try again later, or at another replica.", errors.New("too many watchers"))
	}
	source, err := f.open()
	if errors.Is(err, stream.ErrClosed) {
		// Not 503: a browser that is refused once does not come again.
		out := l.answer(w, f)
		out.named("shutdown", struct{}{})
		_ = out.flush()
		return nil
	}
	if err != nil {
		return err
	}
	defer source.Close()
	l.metrics.watchers.Inc()
	defer l.metrics.watchers.Dec()
	out := l.answer(w, f)
	out.gone = source.Close
	l.beats.join(out)
	defer l.beats.leave(out)
	for {
		if err := out.flush(); err != nil {
			return nil // the client is gone
		}
		ended, err := l.relay(r.Context(), source, out)
		switch {
		case ended:
			_ = out.flush()
			return nil
		case r.Context().Err() != nil:
			return nil
		case err != nil:
			// The stream stays open: a browser that is refused once does not come again.
			l.trouble(err)
			if !sleep(r.Context(), jitter(troubleWait)) {
				return nil
			}
		}
	}
}

// answer begins a stream.
func (l *live) answer(w http.ResponseWriter, f following) *eventWriter {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would gather events otherwise
	out := &eventWriter{out: w, control: http.NewResponseController(w), id: f.id, buffers: &l.buffers}
	out.begin(f.first)
	return out
}

// over serves a build that has ended, and of whose events retention has left none:
// next is the seq of one that may still come.
func (l *live) over(w http.ResponseWriter, r *http.Request, from, next int64, status build.Status) error {
	last, resumed, err := lastEventID(r)
	if err != nil {
		return err
	}
	if resumed {
		from = last + 1
	}
	out := l.answer(w, following{})
	if from < next {
		out.named("gap", gapData{next})
	}
	out.named("end", endData{string(status)})
	_ = out.flush()
	return nil
}

// gapData says which is the first event that there is.
type gapData struct {
	First int64 `json:"first"`
}

type endData struct {
	Status string `json:"status"`
}

// trouble logs that streams wait for the store.
func (l *live) trouble(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.quiet.do(func() { l.log.Warn("streams wait for the store", "error", err) })
}

// relay gathers the events at hand, of which it waits for the first. It says
// whether the stream has ended.
func (l *live) relay(ctx context.Context, source *stream.EventSource, out *eventWriter) (ended bool, err error) {
	for {
		e, err := source.Next(ctx)
		gap := new(stream.GapError)
		switch {
		case err == nil:
			out.event(&e)
		case errors.As(err, &gap):
			out.named("gap", gapData{gap.First})
		case errors.Is(err, stream.ErrEndOfBuildEventStream):
			out.named("end", endData{source.Status()})
			return true, nil
		case errors.Is(err, stream.ErrClosed):
			out.named("shutdown", struct{}{})
			return true, nil
		default:
			return false, err
		}
		if !source.Ready() || out.size() >= maxWrite {
			return false, nil
		}
	}
}

// apart does something before a stream in a goroutine of its own, and returns when
// that has ended. A query needs a deep stack, and the stream's goroutine would keep
// it for as long as it waits.
func apart(do func()) {
	var panicked any
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { panicked = recover() }()
		do()
	}()
	<-done
	if panicked != nil {
		panic(panicked)
	}
}

// eventWriter writes server-sent events. What it gathers is in a buffer that it
// has only between two flushes: most streams are idle most of the time. One
// goroutine gathers and flushes; heartbeats come from another.
type eventWriter struct {
	id      func(*stream.Event) int64
	buffers *sync.Pool
	buffer  *bytes.Buffer
	// gone is called where a heartbeat finds that the client has gone.
	gone func() error

	group, place int // under heartbeats.mu

	mu      sync.Mutex // held while something is written
	out     io.Writer
	control *http.ResponseController
	ended   bool
}

func (w *eventWriter) buf() *bytes.Buffer {
	if w.buffer == nil {
		var ok bool
		if w.buffer, ok = w.buffers.Get().(*bytes.Buffer); !ok {
			w.buffer = new(bytes.Buffer)
		}
	}
	return w.buffer
}

func (w *eventWriter) size() int { return w.buf().Len() }

func (w *eventWriter) begin(id string) {
	fmt.Fprintf(w.buf(), "retry: %d\n", retryHint.Milliseconds())
	if id != "" {
		fmt.Fprintf(w.buf(), "id: %s\n", id)
	}
	w.buf().WriteByte('\n')
}

func (w *eventWriter) event(e *stream.Event) {
	if bytes.IndexByte(e.Data, '\n') >= 0 || bytes.IndexByte(e.Data, '\r') >= 0 { // damaged: it would end the message
		e.Data = nil
	}
	b := w.buf()
	b.WriteString("id: ")
	b.Write(strconv.AppendInt(b.AvailableBuffer(), w.id(e), 10))
	b.WriteString("\nevent: ")
	b.WriteString(oneLine(e.Type))
	b.WriteString("\ndata: ")
	b.Write(e.AppendJSON(b.AvailableBuffer()))
	b.WriteString("\n\n")
}

// named writes an event that is not of the stream: it has no id.
func (w *eventWriter) named(name string, data any) {
	text, _ := json.Marshal(data) // plain fields marshal
	fmt.Fprintf(w.buf(), "event: %s\ndata: %s\n\n", name, text)
}

func (w *eventWriter) flush() error {
	if w.buffer == nil {
		return nil
	}
	defer func() {
		if w.buffer.Cap() <= 2*maxWrite {
			w.buffer.Reset()
			w.buffers.Put(w.buffer)
		}
		w.buffer = nil
	}()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.send(w.buffer.Bytes())
}

// send writes whole messages. Under mu.
func (w *eventWriter) send(messages []byte) error {
	if err := w.control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := w.out.Write(messages); err != nil {
		return err
	}
	return w.control.Flush()
}

var comment = []byte(":\n\n")

// beat writes a comment, unless events are being written.
func (w *eventWriter) beat() {
	if !w.mu.TryLock() {
		return
	}
	defer w.mu.Unlock()
	if w.ended {
		return
	}
	if err := w.send(comment); err != nil {
		_ = w.gone()
	}
}

// end has no more comments be written.
func (w *eventWriter) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
}

// oneLine keeps the name of an event from ending its line.
func oneLine(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '\r' || r == '\n' {
			return -1
		}
		return r
	}, name)
}
