package buildtracker

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/trace"
)

// logger adds to log lines which trace they belong to.
func (t *tracing) logger(log *slog.Logger) *slog.Logger {
	if t == nil {
		return log
	}
	return slog.New(tracedLog{log.Handler()})
}

// tracedLog adds trace_id to lines that belong to a trace.
type tracedLog struct{ slog.Handler }

// Handle logs a line.
func (l tracedLog) Handle(ctx context.Context, line slog.Record) error {
	if at := trace.SpanContextFromContext(ctx); at.IsValid() {
		line = line.Clone()
		line.AddAttrs(slog.String("trace_id", at.TraceID().String()))
	}
	return l.Handler.Handle(ctx, line)
}

// WithAttrs returns a handler that adds attributes.
func (l tracedLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return tracedLog{l.Handler.WithAttrs(attrs)}
}

// WithGroup returns a handler that puts attributes into a group.
func (l tracedLog) WithGroup(name string) slog.Handler {
	return tracedLog{l.Handler.WithGroup(name)}
}
