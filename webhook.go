package buildtracker

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/build-tracker/build-tracker/buildkite"
	"github.com/build-tracker/build-tracker/config"
	"github.com/build-tracker/build-tracker/db"
)

const (
	maxBody = 5 << 20
	// maxInFlight bounds the bodies in memory at one time, in bytes.
	maxInFlight = 256 << 20
	// maxDiscard bounds what is read of a body that is refused already.
	maxDiscard     = 16 << 20
	discardTimeout = time.Second
	// appendTimeout leaves a second of the five that Buildkite waits.
	appendTimeout = 4 * time.Second
)

// appender makes deliveries durable.
type appender interface {
	Append(ctx context.Context, d db.Delivery) (db.Appended, error)
}

// webhook takes Buildkite's deliveries: POST /buildkite. A delivery is answered
// 200 after it is durable, and not before.
type webhook struct {
	events   appender
	verifier *buildkite.Verifier
	// open: no token is configured, deliveries are taken from this machine.
	open bool
	// live is asked once a delivery: a reload changes it.
	live     func() *config.Live
	memory   *semaphore.Weighted
	buffers  sync.Pool // of *buffer
	recorded func(buildID string)
	sources  *sources
	refusals *refusals
	arrivals *arrivals
	metrics  *metrics
	traces   *tracing
	log      *slog.Logger
}

func (h *webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	seen := account{began: time.Now(), status: http.StatusOK}
	result, p := h.take(w, r, &seen)
	ctx := h.tell(r, &seen, result, p)
	if p != nil {
		level := slog.LevelInfo
		if p.Status >= 500 {
			level = slog.LevelWarn
			h.refusals.refused(time.Now())
		}
		h.log.Log(ctx, level, "delivery refused", "status", p.Status, "why", p.Detail, "cause", p.cause, "remote", r.RemoteAddr)
		discard(w, r)
		if p.Status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `X-Buildkite-Token realm="build-tracker"`)
		}
		p.write(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, `{"status":"`+result+`"}`+"\n")
}

// tell counts and traces what became of a delivery, and returns the context of
// its trace.
func (h *webhook) tell(r *http.Request, seen *account, result string, p *problem) context.Context {
	seen.result = result
	if p != nil {
		seen.status = p.Status
	}
	ctx := h.traces.delivery(r, seen)
	h.metrics.delivered(seen, sampled(ctx))
	return ctx
}

// discard reads what is left of a refused body, within bounds. A client that is
// still sending when the connection closes would never see the answer.
func discard(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Expect") != "" { // it waits for the answer before it sends
		return
	}
	// An error means that the body is gone, or that the deadline stays as it is.
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(discardTimeout)); err == nil {
		_, _ = io.CopyN(io.Discard, r.Body, maxDiscard)
	}
}

// take records one delivery and returns what became of it, in the words of the
// metric; the problem is nil for recorded, duplicate and ignored. It notes in
// seen what metrics and traces tell besides.
func (h *webhook) take(w http.ResponseWriter, r *http.Request, seen *account) (string, *problem) {
	ctx, cancel := context.WithTimeout(r.Context(), appendTimeout)
	defer cancel()
	if p := h.precheck(r); p != nil {
		return "unauthorized", p
	}
	size := r.ContentLength
	if size > maxBody {
		return "too_large", tooLarge()
	}
	if size < 0 {
		size = maxBody
	}
	if err := h.memory.Acquire(ctx, size); err != nil {
		return "unavailable", unavailable("Too many deliveries are being read. Send this one again.", err)
	}
	defer h.memory.Release(size)
	buffer := h.buffer()
	defer h.release(buffer)
	p := buffer.read(w, r, size)
	if p != nil {
		if p.Status == http.StatusRequestEntityTooLarge {
			return "too_large", p
		}
		return "invalid", p
	}
	if !h.open {
		if err := h.verifier.Verify(r.Header, buffer.body); err != nil {
			return "unauthorized", notAuthentic(err)
		}
	}
	return h.record(ctx, r.Header.Get("X-Buildkite-Event"), buffer, seen)
}

// buffer is the memory of one delivery while it is taken.
type buffer struct {
	body []byte // as it came
	data []byte // as it is recorded
}

// maxBuffer bounds the buffers that are kept for the next delivery, in bytes.
const maxBuffer = 64 << 10

func (h *webhook) buffer() *buffer {
	if b, ok := h.buffers.Get().(*buffer); ok {
		return b
	}
	return new(buffer)
}

func (h *webhook) release(b *buffer) {
	if cap(b.body) <= maxBuffer && cap(b.data) <= maxBuffer {
		h.buffers.Put(b)
	}
}

// precheck refuses what needs no look at the body.
func (h *webhook) precheck(r *http.Request) *problem {
	if p := h.sources.check(r); p != nil {
		return p
	}
	if h.open {
		if why := elsewhere(r); why != nil {
			p := unauthorized("Without a webhook token, deliveries are taken from this machine only, and this one is not taken for one: " + why.Error() + ". Set BUILDKITE_WEBHOOK_TOKEN to the token of the webhook in Buildkite.")
			p.cause = why
			return p
		}
		return nil
	}
	if r.Header.Get("X-Buildkite-Signature") == "" {
		if err := h.verifier.Verify(r.Header, nil); err != nil {
			return notAuthentic(err)
		}
	}
	return nil
}

func notAuthentic(err error) *problem {
	p := unauthorized("The delivery is not authentic. Its token or signature must be made with BUILDKITE_WEBHOOK_TOKEN, the token of the webhook in Buildkite.")
	p.cause = err
	return p
}

func tooLarge() *problem {
	return fail(http.StatusRequestEntityTooLarge, "The body is larger than 5 MiB. Buildkite sends no such delivery: look what is posting here.")
}

// read reads the body, which is said to have this size.
func (b *buffer) read(w http.ResponseWriter, r *http.Request, size int64) *problem {
	body := slices.Grow(b.body[:0], int(min(size, maxBuffer-512)+512))
	defer func() { b.body = body }()
	limited := http.MaxBytesReader(w, r.Body, maxBody)
	for {
		n, err := limited.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if err == io.EOF {
			return nil
		}
		if tooBig := new(http.MaxBytesError); errors.As(err, &tooBig) {
			return tooLarge()
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			p := fail(http.StatusRequestTimeout, "The body came too slowly: all of it has to be here within 10 seconds. Send the delivery again.")
			p.cause = err
			return p
		}
		if err != nil {
			p := fail(http.StatusBadRequest, "The body ended early. Send the delivery again.")
			p.cause = err
			return p
		}
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
	}
}

func (h *webhook) record(ctx context.Context, event string, b *buffer, seen *account) (string, *problem) {
	if event == "" {
		return "invalid", fail(http.StatusBadRequest, "There is no X-Buildkite-Event header. Buildkite sends it with each delivery.")
	}
	live := h.live()
	d, err := buildkite.Parse(b.body, buildkite.Options{EnvKeep: live.EnvKeep, Buffer: b.data})
	if err != nil {
		return "invalid", fail(http.StatusBadRequest, err.Error())
	}
	b.data = d.Data
	if d.Event != event {
		return "invalid", fail(http.StatusBadRequest, "The X-Buildkite-Event header differs from the body's event. They must be the same.")
	}
	if d.Kind == buildkite.Ignored {
		return "ignored", nil
	}
	finished := d.FinishedAt()
	seen.event, seen.appending = d, time.Now()
	at, err := h.events.Append(ctx, db.Delivery{
		Key: d.Key, Organization: d.Organization, Pipeline: d.Pipeline, Number: d.Number,
		BuildID: d.BuildID, Type: d.Event, Data: d.Data, Team: live.TeamOf(d.Organization, d.Pipeline),
		Own: stepEvents(d),
	})
	d.Data = nil // the buffer's, which is for the next delivery
	seen.appended, seen.position = time.Now(), at.Position
	switch {
	case errors.Is(err, db.ErrRefused):
		p := fail(http.StatusBadRequest, "The store cannot hold this delivery. Nothing of it was recorded; sending it again does not help.")
		p.cause = err
		return "invalid", p
	case err != nil:
		return "unavailable", unavailable("The delivery could not be made durable now. Send it again; if it was recorded after all, it counts once.", err)
	}
	h.refusals.taken(time.Now())
	if at.Duplicate {
		return "duplicate", nil
	}
	h.arrivals.arrived(finished)
	h.recorded(d.BuildID)
	return "recorded", nil
}
