package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/build-tracker/build-tracker/config"
)

// watchCommand follows a build, or the builds of a pipeline.
type watchCommand struct {
	Build string `arg:"" optional:"" name:"build" help:"The build, as ORG/PIPELINE/NUMBER."`
	config.WatchFlags
}

// Help is what `watch --help` says above its flags.
func (watchCommand) Help() string {
	return `Follows a build as it happens, until it ends: its steps with their attempts on a terminal, elsewhere a line for each event that matters. With --pipeline it prints a line whenever a build of the pipeline changes its status, until Ctrl-C.

A connection that breaks is taken up again where it was, for up to 3 minutes. --from=SEQ begins with a later event of the build, --json prints the events themselves. NO_COLOR and TERM=dumb are heeded.

Exit codes: 0 the build passed (or was fixed by a retry), 1 it failed, 2 that cannot be told: it was canceled, it is blocked, or it is not known, or the server cannot be reached; 130 interrupted.`
}

// Exit codes of a watch besides those of every command.
const (
	exitUntold      = 2   // the build neither passed nor failed, as far as is known
	exitInterrupted = 130 // as a shell says of what Ctrl-C ended
)

// Run follows until there is an answer.
func (c *watchCommand) Run(ctx context.Context, t terminal) error {
	cfg, err := c.Config(c.Build)
	if err != nil {
		return usageError{err}
	}
	w := newWatch(cfg, t)
	if cfg.Number == 0 {
		if err := w.view.news(w.address + " is followed from now on, until Ctrl-C"); err != nil {
			return untold("%w", err)
		}
	}
	result, err := w.run(ctx)
	var refused *refusedError
	switch {
	case errors.Is(err, context.Canceled):
		return exitError{code: exitInterrupted}
	case errors.As(err, &refused) && refused.status == http.StatusNotFound && cfg.Number > 0:
		return untold("%s cannot be watched yet: %w", w.address, err)
	case err != nil:
		return untold("%w", err)
	}
	return verdict(w.address, result)
}

// verdict is the exit code for what became of a build.
func verdict(address, status string) error {
	switch status {
	case "passed", "fixed":
		return nil
	case "failed":
		return exitError{code: exitFailed}
	case "canceled":
		return untold("%s was canceled: it neither passed nor failed", address)
	case "blocked":
		return untold("%s is blocked: somebody has to unblock it in Buildkite; then watch it again", address)
	}
	return untold("%s ended as %q: whether it passed, Buildkite knows", address, status)
}

// untold is an error with the exit code for it, in one printable line: parts of
// it may come from a server.
func untold(format string, args ...any) error {
	return exitError{exitUntold, errors.New(printable(fmt.Errorf("watch: "+format, args...).Error()))}
}
