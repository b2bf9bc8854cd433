package main

import (
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"

	"github.com/build-tracker/build-tracker/config"
)

// terminal is where a command writes: results to stdout, logs and progress to
// stderr.
type terminal struct {
	stdout io.Writer
	stderr io.Writer
}

// interactive says whether a person looks at stderr.
func (t terminal) interactive() bool {
	f, ok := t.stderr.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (t terminal) logger(cfg config.Log) *slog.Logger {
	return t.loggerAt(cfg.Level, cfg.Format)
}

// loggerAt is logger, with a level that may change.
func (t terminal) loggerAt(level slog.Leveler, format config.LogFormat) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if format == config.LogText || format == config.LogAuto && t.interactive() {
		return slog.New(slog.NewTextHandler(t.stderr, opts))
	}
	return slog.New(slog.NewJSONHandler(t.stderr, opts))
}
