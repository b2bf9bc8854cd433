package buildtracker

import (
	"context"
	"fmt"
	"net/http"
	"path"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/build-tracker/build-tracker/buildkite"
	"github.com/build-tracker/build-tracker/notify"
	"github.com/build-tracker/build-tracker/stream"
)

// account is what became of one delivery, for metrics and traces.
type account struct {
	began time.Time
	// result is in the words of the metric, status what is answered.
	result string
	status int
	// event is nil as long as it is not known to be one.
	event *buildkite.Delivery
	// appending and appended are zero when it was not begun.
	appending, appended time.Time
	position            int64
}

// delivery makes the spans of a delivery that ends now, and returns the context
// of the first. An event that was recorded has its own trace; of one that was
// not there is a link to it.
func (t *tracing) delivery(r *http.Request, d *account) context.Context {
	if t == nil {
		return r.Context()
	}
	ctx := r.Context()
	attributes := []attribute.KeyValue{
		attribute.String("http.request.method", http.MethodPost),
		attribute.String("http.route", "/buildkite"),
		attribute.Int("http.response.status_code", d.status),
		attribute.String("buildtracker.result", d.result),
	}
	var links []trace.Link
	if caller := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), propagation.HeaderCarrier(r.Header))); caller.IsValid() {
		links = append(links, trace.Link{SpanContext: caller}) // not the parent: anyone may send the header
	}
	if e := d.event; e != nil {
		attributes = append(attributes, address(e.Event, e.Organization, e.Pipeline, e.Number)...)
		if id := stream.ID(e.Key[:16]); d.position != 0 {
			ctx = context.WithValue(ctx, eventKey{}, id)
			attributes = append(attributes, attribute.Int64("buildtracker.position", d.position))
		} else {
			links = append(links, trace.Link{SpanContext: t.origin(id)})
		}
	}
	ctx, span := t.tracer.Start(ctx, "POST /buildkite", trace.WithSpanKind(trace.SpanKindServer),
		trace.WithTimestamp(d.began), trace.WithLinks(links...), trace.WithAttributes(attributes...))
	if !d.appending.IsZero() {
		_, appending := t.tracer.Start(ctx, "append", trace.WithTimestamp(d.appending))
		failed(appending, d.status >= http.StatusInternalServerError)
		appending.End(trace.WithTimestamp(d.appended))
	}
	failed(span, d.status >= http.StatusInternalServerError)
	span.End()
	return ctx
}

// folded makes the spans of a batch that ends now; err is why its only event
// was set aside. It returns which event stands for the batch in metrics: of
// those that are sampled the first, which waited longest; -1 for none.
func (t *tracing) folded(events []decoded, began time.Time, err error) int {
	first := -1
	if t == nil {
		return first
	}
	for i := range events {
		e := &events[i].Event
		if !foldable(e) {
			continue
		}
		origin := t.origin(e.ID)
		if !origin.IsSampled() {
			continue
		}
		if first < 0 {
			first = i
		}
		_, span := t.tracer.Start(trace.ContextWithRemoteSpanContext(context.Background(), origin), "fold",
			trace.WithTimestamp(began), trace.WithAttributes(address(e.Type, e.Organization, e.Pipeline, e.Number)...),
			trace.WithAttributes(
				attribute.Int64("buildtracker.position", e.Position), attribute.Int64("buildtracker.seq", e.Seq),
				attribute.Int("buildtracker.batch", len(events)),
			))
		failed(span, err != nil)
		span.End()
	}
	return first
}

// at returns a context that belongs to the trace of an event.
func (t *tracing) at(ctx context.Context, id stream.ID) context.Context {
	if t == nil {
		return ctx
	}
	return trace.ContextWithRemoteSpanContext(ctx, t.origin(id))
}

// notice begins the span of the work on a notice. The event is what the notice
// is to follow; nil when it is not known.
func (t *tracing) notice(ctx context.Context, n notify.Notice, e *stream.Event) context.Context {
	if t == nil {
		return ctx
	}
	attributes := []attribute.KeyValue{
		attribute.String("buildtracker.notice", n.Kind), attribute.Int("buildtracker.attempts", n.Attempts),
		attribute.Int64("buildtracker.position", n.WantedRev),
	}
	if e != nil {
		ctx = t.at(ctx, e.ID)
		attributes = append(attributes, address(e.Type, e.Organization, e.Pipeline, e.Number)...)
	}
	ctx, _ = t.tracer.Start(ctx, "notice", trace.WithAttributes(attributes...))
	return ctx
}

// noticed ends the span of the work on a notice, if ctx has one.
func noticed(ctx context.Context, r notify.Result) {
	span := trace.SpanFromContext(ctx)
	if span.IsRecording() {
		span.SetAttributes(attribute.String("buildtracker.result", string(r)))
	}
	failed(span, r == notify.Postponed || r == notify.Unrecorded)
	span.End()
}

// around returns what makes a span of every call to Slack that belongs to a
// trace; nil when there are none. It adds nothing to the call: the other side is
// not ours.
func (t *tracing) around() func(http.RoundTripper) http.RoundTripper {
	if t == nil {
		return nil
	}
	return func(next http.RoundTripper) http.RoundTripper { return calls{t.tracer, next} }
}

// calls is a transport that makes spans.
type calls struct {
	tracer trace.Tracer
	next   http.RoundTripper
}

// RoundTrip makes a call.
func (c calls) RoundTrip(req *http.Request) (*http.Response, error) {
	if !trace.SpanContextFromContext(req.Context()).IsValid() {
		return c.next.RoundTrip(req)
	}
	ctx, span := c.tracer.Start(req.Context(), "slack "+path.Base(req.URL.Path), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(
			attribute.String("http.request.method", req.Method), attribute.String("server.address", req.URL.Hostname()),
		))
	defer span.End()
	res, err := c.next.RoundTrip(req.WithContext(ctx))
	if err != nil { // its text may name a proxy, with a password
		span.SetAttributes(attribute.String("error.type", fmt.Sprintf("%T", err)))
		failed(span, true)
		return nil, err
	}
	span.SetAttributes(attribute.Int("http.response.status_code", res.StatusCode))
	failed(span, res.StatusCode >= http.StatusBadRequest)
	return res, nil
}

// address are the attributes that say which event a span is about. Nothing else
// of a payload goes into a trace.
func address(event, organization, pipeline string, number int64) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("buildkite.event", event),
		attribute.String("buildkite.organization", organization),
		attribute.String("buildkite.pipeline", pipeline),
		attribute.Int64("buildkite.build.number", number),
	}
}

func failed(span trace.Span, yes bool) {
	if yes {
		span.SetStatus(codes.Error, "")
	}
}
