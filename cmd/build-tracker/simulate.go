package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/build-tracker/build-tracker/config"
	"github.com/build-tracker/build-tracker/internal/simulate"
)

// simulateCommand makes traffic.
type simulateCommand struct{ config.SimulateFlags }

// Help is what `simulate --help` says above its flags.
func (simulateCommand) Help() string {
	return `Makes the webhooks of a few organizations over some days of work: builds that pass, fail, flake, wait for somebody, are retried, canceled and skipped, builds that trigger others, agents that come and go; and in five days or more, one on which everything fails. It posts them to a server as Buildkite would, or writes them to a file. The same flags give the same bytes, where --start or --out fixes the time.

The truth is what a server that knew none of these builds says of them in the end: their status, how many of their branch failed in a row, and whether a message of its own is there (null where that depends on how fast deliveries came). It takes no notice of NOTICE_MAX_AGE: a server announces no build that finished longer ago than that.

With --live it goes on after the history, until Ctrl-C.`
}

// Run makes traffic and posts or writes it.
func (c *simulateCommand) Run(ctx context.Context, t terminal) error {
	cfg, err := c.Config()
	if err != nil {
		return usageError{err}
	}
	s, err := newSimulation(cfg, time.Now())
	if err != nil {
		return err
	}
	truth, err := createOutput(t, cfg.Truth)
	if err != nil {
		return usageError{fmt.Errorf("--truth: %w", err)}
	}
	defer truth.abandon()
	if cfg.Out != "" {
		err = writeDeliveries(ctx, t, cfg, s)
	} else {
		err = postDeliveries(ctx, t, cfg, s)
	}
	switch {
	case errors.Is(err, context.Canceled) && cfg.Live:
		return nil
	case errors.Is(err, context.Canceled):
		return errors.New("simulate: interrupted before the end")
	case err != nil:
		return fmt.Errorf("simulate: %w", err)
	}
	for _, b := range s.Truth() {
		truth.line(b)
	}
	if err := truth.keep(); err != nil {
		return fmt.Errorf("simulate: write the truth: %w", err)
	}
	return nil
}

// fixedStart is when a history begins that is written to a file and was told no
// start: a Monday.
var fixedStart = time.Date(2026, time.January, 5, 0, 0, 0, 0, time.UTC)

// newSimulation prepares what the configuration asks for. One that is posted
// ends now, where nothing else was said.
func newSimulation(cfg *config.Simulate, now time.Time) (*simulate.Simulation, error) {
	opts := simulate.Options{
		Seed: cfg.Seed, Builds: cfg.Builds, Days: cfg.Days, Start: cfg.Start,
		Late: cfg.Late, Duplicates: cfg.Duplicates, Reorder: cfg.Reorder,
	}
	switch {
	case !cfg.Start.IsZero():
	case cfg.Out != "":
		opts.Start = fixedStart
	default:
		opts.Start = now.UTC().Truncate(time.Second).AddDate(0, 0, -cfg.Days)
	}
	if cfg.Live {
		opts.Pace = cfg.Pace
	}
	return simulate.New(opts)
}

// writeDeliveries writes all deliveries to a file, a payload a line.
func writeDeliveries(ctx context.Context, t terminal, cfg *config.Simulate, s *simulate.Simulation) error {
	out, err := createOutput(t, cfg.Out)
	if err != nil {
		return err
	}
	defer out.abandon()
	began, deliveries := time.Now(), 0
	for d := range s.Deliveries() {
		if ctx.Err() != nil || out.err != nil {
			break
		}
		out.line(json.RawMessage(d.Body))
		deliveries++
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := out.keep(); err != nil {
		return fmt.Errorf("write the deliveries: %w", err)
	}
	fmt.Fprintf(t.stderr, "Simulated %d builds: %d deliveries written in %s.\n", s.Builds(), deliveries, roundly(time.Since(began)))
	return nil
}

// output is a file of JSON lines, or the standard output. The zero output takes
// nothing.
type output struct {
	file *os.File // nil for the standard output
	to   *bufio.Writer
	err  error
}

func createOutput(t terminal, name string) (*output, error) {
	switch name {
	case "":
		return &output{to: bufio.NewWriter(io.Discard)}, nil
	case "-":
		return &output{to: bufio.NewWriter(t.stdout)}, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	return &output{file: f, to: bufio.NewWriterSize(f, 1<<16)}, nil
}

// line writes a line; an error is kept.
func (o *output) line(of any) {
	b, err := json.Marshal(of)
	if err == nil {
		_, err = o.to.Write(append(b, '\n'))
	}
	if o.err == nil {
		o.err = err
	}
}

// keep ends the file, and returns the first error there was.
func (o *output) keep() error {
	err := errors.Join(o.err, o.to.Flush())
	if o.file != nil {
		err = errors.Join(err, o.file.Close())
		o.file = nil
	}
	return err
}

// abandon leaves a file that was not kept as far as it is.
func (o *output) abandon() {
	if o.file != nil {
		o.file.Close()
	}
}

// roundly is a duration for people.
func roundly(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(100 * time.Millisecond)
}
