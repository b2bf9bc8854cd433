package buildtracker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// flushTimeout bounds how long a stopping server waits for its last spans to go
// out, and again how long for an export that is told to give up.
const flushTimeout = 5 * time.Second

// spansWaiting is how many spans may wait for their export, unless
// OTEL_BSP_MAX_QUEUE_SIZE says otherwise: some megabytes.
const spansWaiting = 8192

// TraceExporter returns what takes traces to the collector that the OTEL_
// variables of the environment name, by OTLP over HTTP. It is nil when they name
// none (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) or turn
// traces off (OTEL_SDK_DISABLED=true, OTEL_TRACES_EXPORTER=none).
func TraceExporter(ctx context.Context) (sdktrace.SpanExporter, error) {
	if firstEnv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT") == "" ||
		strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return nil, nil
	}
	if firstEnv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL") == "grpc" {
		return nil, errors.New("OTEL_EXPORTER_OTLP_PROTOCOL is grpc, and traces go out over HTTP only: set it to http/protobuf, and the endpoint to the collector's HTTP port, mostly 4318")
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("export traces as the OTEL_EXPORTER_OTLP_ variables say: %w", err)
	}
	return exporter, nil
}

// firstEnv returns the first of these variables that is not empty.
func firstEnv(names ...string) string {
	for _, name := range names {
		if value := os.Getenv(name); value != "" {
			return value
		}
	}
	return ""
}

// spanQueue takes spans that ended to the exporter, in batches and from a
// goroutine of the SDK's. It never waits: what there is no room for is dropped
// and counted.
type spanQueue struct {
	sdktrace.SpanProcessor // the SDK's
	provider               *sdktrace.TracerProvider
	exporter               sdktrace.SpanExporter
	log                    *slog.Logger
	quiet                  sometimes // the SDK exports one batch at a time

	room    int64
	waiting atomic.Int64 // ended, and neither exported nor given up

	exported, unsent, dropped prometheus.Counter

	// abandoned ends when an export has to give up.
	abandoned context.Context
	abandon   context.CancelFunc
	ended     chan struct{} // closed after the last export
}

func newSpanQueue(exporter sdktrace.SpanExporter, spans *prometheus.CounterVec, log *slog.Logger) *spanQueue {
	room, err := strconv.Atoi(os.Getenv("OTEL_BSP_MAX_QUEUE_SIZE"))
	if err != nil || room <= 0 {
		room = spansWaiting
	}
	q := &spanQueue{
		exporter: exporter, log: log, room: int64(room), ended: make(chan struct{}),
		exported: spans.WithLabelValues("exported"), unsent: spans.WithLabelValues("failed"), dropped: spans.WithLabelValues("dropped"),
	}
	q.abandoned, q.abandon = context.WithCancel(context.Background())
	q.SpanProcessor = sdktrace.NewBatchSpanProcessor(export{q}, sdktrace.WithMaxQueueSize(room))
	return q
}

// OnEnd takes a span that ended.
func (q *spanQueue) OnEnd(span sdktrace.ReadOnlySpan) {
	if !span.SpanContext().IsSampled() {
		return
	}
	if q.waiting.Add(1) > q.room {
		q.waiting.Add(-1)
		q.dropped.Inc()
		return
	}
	q.SpanProcessor.OnEnd(span)
}

// close exports what waits, for patience at most, and returns when nothing runs
// any more.
func (q *spanQueue) close(patience time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := q.provider.Shutdown(ctx); err != nil {
		q.log.Warn("the last traces were not exported in time", "spans", q.waiting.Load(), "error", err)
	}
	q.abandon()
	select {
	case <-q.ended:
	case <-time.After(patience):
	}
}

// export is the exporter as the SDK's processor sees it. It never fails: the SDK
// would tell the whole process, not our log.
type export struct{ q *spanQueue }

// ExportSpans exports a batch.
func (e export) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	q := e.q
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(q.abandoned, cancel)()
	n := len(spans)
	err := q.exporter.ExportSpans(ctx, spans)
	q.waiting.Add(int64(-n))
	if err == nil {
		q.exported.Add(float64(n))
		return nil
	}
	q.unsent.Add(float64(n))
	q.quiet.do(func() {
		q.log.Warn("traces are not exported: look whether OTEL_EXPORTER_OTLP_ENDPOINT is right and answers", "error", brief(err))
	})
	return nil
}

// brief is an error's text, which may hold a collector's whole answer.
func brief(err error) string {
	const most = 300
	text := err.Error()
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// Shutdown is called after the last export.
func (e export) Shutdown(ctx context.Context) error {
	defer close(e.q.ended)
	return e.q.exporter.Shutdown(ctx)
}
