package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/alecthomas/kong"

	buildtracker "github.com/build-tracker/build-tracker"
	"github.com/build-tracker/build-tracker/config"
	"github.com/build-tracker/build-tracker/internal/bench/baseline"
)

// The roles in which this program starts itself as a child.
const (
	roleUnmarshal  = "serve-unmarshal"  // the baseline of webhooks
	roleLocked     = "serve-locked"     // the baseline of a hot build
	roleHeartbeats = "serve-heartbeats" // the baseline of idle watchers
	roleProgram    = "serve-profiled"   // build-tracker, with profiles
)

var roles = map[string]func(context.Context) error{
	roleUnmarshal: func(ctx context.Context) error { return baseline.Serve(ctx, baseline.Unmarshal(), logger()) },
	roleLocked:    serveLocked,
	roleHeartbeats: func(ctx context.Context) error {
		return baseline.Serve(ctx, baseline.Heartbeats(heartbeatEvery), logger())
	},
	roleProgram: serveProfiled,
}

func logger() *slog.Logger { return slog.New(slog.NewJSONHandler(os.Stderr, nil)) }

func serveLocked(ctx context.Context) error {
	state, err := baseline.NewLocked(os.Getenv("REDIS_URL"))
	if err != nil {
		return err
	}
	h := baseline.NewAnswering(state, logger())
	err = baseline.Serve(ctx, h, logger())
	h.Wait()
	return errors.Join(err, state.Close())
}

// profileVariable holds where a profiled child writes to.
const profileVariable = "BENCH_PROFILE"

// serveProfiled is `build-tracker serve` with a profile around it: the program
// itself has no route for one.
func serveProfiled(ctx context.Context) error {
	var flags config.ServeFlags
	parser, err := kong.New(&flags)
	if err != nil {
		return fmt.Errorf("read the environment: %w", err)
	}
	if _, err := parser.Parse(nil); err != nil {
		return fmt.Errorf("read the environment: %w", err)
	}
	cfg, err := flags.Config()
	if err != nil {
		return err
	}
	p, err := startProfile(os.Getenv(profileVariable))
	if err != nil {
		return err
	}
	buildtracker.LogRedis(logger())
	server, err := buildtracker.New(ctx, cfg, buildtracker.Options{Logger: logger()})
	if err != nil {
		return errors.Join(err, p.stop())
	}
	// The heap is wanted as it is before the server lets go of everything.
	running, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	written := make(chan error, 1)
	unasked := context.AfterFunc(ctx, func() {
		written <- p.stop()
		end()
	})
	err = server.Run(running)
	if unasked() {
		return errors.Join(err, p.stop())
	}
	return errors.Join(err, <-written)
}
