package buildtracker

import (
	"context"
	"crypto/rand"
	"log/slog"
	mathrand "math/rand/v2"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/build-tracker/build-tracker/stream"
)

// tracing makes the trace of an event, from its delivery to the message that it
// leads to. Nothing is stored for that: the event's id is the trace's, and the
// id of the delivery's span follows from it. Who reads the event, in whatever
// process, knows the parent of what it does.
//
// A nil *tracing makes no traces, and costs nothing.
type tracing struct {
	tracer trace.Tracer
	// asked starts spans that go nowhere: they tell whether a trace is sampled.
	asked trace.Tracer
	queue *spanQueue
}

// tracingOptions are what traces need.
type tracingOptions struct {
	Exporter sdktrace.SpanExporter
	Version  string
	Metrics  *metrics
	Logger   *slog.Logger
}

// newTracing returns what makes traces; nil without an exporter. Sampling and
// limits are as the OTEL_ variables of the environment say.
func newTracing(ctx context.Context, o tracingOptions) *tracing {
	if o.Exporter == nil {
		return nil
	}
	described, err := resource.New(ctx,
		resource.WithTelemetrySDK(), resource.WithHost(),
		resource.WithAttributes(
			attribute.String("service.name", "build-tracker"),
			attribute.String("service.version", o.Version),
			attribute.String("service.instance.id", rand.Text()),
		),
		resource.WithFromEnv(), // the last one wins
	)
	if err != nil {
		o.Logger.Warn("OTEL_RESOURCE_ATTRIBUTES is not all understood; traces lack what is not", "error", err)
	}
	queue := newSpanQueue(o.Exporter, o.Metrics.spans, o.Logger)
	queue.provider = sdktrace.NewTracerProvider(
		sdktrace.WithResource(described), sdktrace.WithIDGenerator(spanIDs{}), sdktrace.WithSpanProcessor(queue),
	)
	const scope = "github.com/build-tracker/build-tracker"
	return &tracing{
		tracer: queue.provider.Tracer(scope, trace.WithInstrumentationVersion(o.Version)),
		asked:  sdktrace.NewTracerProvider(sdktrace.WithIDGenerator(spanIDs{})).Tracer(scope),
		queue:  queue,
	}
}

// eventKey is the context's key for the event whose delivery a span is about.
type eventKey struct{}

// spanIDs makes the ids of spans: at random, but those of an event's delivery.
type spanIDs struct{}

// NewIDs returns the ids of a span without a parent.
func (s spanIDs) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if id, ok := ctx.Value(eventKey{}).(stream.ID); ok {
		return trace.TraceID(id), trace.SpanID(id[8:])
	}
	var id trace.TraceID
	for !id.IsValid() {
		high, low := s.NewSpanID(ctx, id), s.NewSpanID(ctx, id)
		id = trace.TraceID(append(high[:], low[:]...))
	}
	return id, s.NewSpanID(ctx, id)
}

// NewSpanID returns the id of a span in a trace.
func (spanIDs) NewSpanID(context.Context, trace.TraceID) (id trace.SpanID) {
	for !id.IsValid() {
		n := mathrand.Uint64()
		for i := range id {
			id[i] = byte(n >> (8 * i))
		}
	}
	return id
}

// origin is the span of an event's delivery, wherever it was made.
func (t *tracing) origin(id stream.ID) trace.SpanContext {
	_, span := t.asked.Start(context.WithValue(context.Background(), eventKey{}, id), "")
	return span.SpanContext().WithRemote(true)
}

// sampled returns the id of the trace that ctx belongs to, if it is sampled,
// else a zero one.
func sampled(ctx context.Context) trace.TraceID {
	if at := trace.SpanContextFromContext(ctx); at.IsSampled() {
		return at.TraceID()
	}
	return trace.TraceID{}
}

// close exports what is left, in bounded time.
func (t *tracing) close() error {
	if t != nil {
		t.queue.close(flushTimeout)
	}
	return nil
}
