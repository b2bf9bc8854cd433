package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	buildtracker "github.com/build-tracker/build-tracker"
	"github.com/build-tracker/build-tracker/config"
)

// rebuildCommand recomputes builds from their events.
type rebuildCommand struct{ config.RebuildFlags }

// Help is what `rebuild --help` says above its flags.
func (rebuildCommand) Help() string {
	return `Recomputes every build from its recorded events, in the database and in Redis. No event is recorded and no notice is sent for it. Interrupted, it has done no harm: run it again.

On PostgreSQL it works on the stores itself, beside running servers. Where --url names a server, or a running one holds the data folder, that server does the work.`
}

// Run rebuilds, on the stores or through the server that holds them.
func (c *rebuildCommand) Run(ctx context.Context, t terminal) error {
	cfg, client, err := c.Config()
	if err != nil {
		return usageError{err}
	}
	bar := newProgress(t, "Rebuilding")
	var builds int64
	progress := func(done, total int64) {
		builds = total
		bar.set(done, total)
	}
	log := t.logger(cfg.Log)
	buildtracker.LogRedis(log)
	opts := buildtracker.Options{Logger: log, Version: programVersion()}
	err = hereOrThere(client, func() error {
		return buildtracker.Rebuild(ctx, cfg, opts, progress)
	}, func() error {
		remote := remoteWork{http: http.DefaultClient, server: *client, path: "/-/rebuild"}
		_, err := remote.run(ctx, progress)
		return err
	})
	bar.end()
	if ctx.Err() != nil {
		return errors.New("rebuild: interrupted; it has done no harm, run it again")
	}
	if err != nil {
		return fmt.Errorf("rebuild: %w", err)
	}
	fmt.Fprintf(t.stdout, "Builds rebuilt: %d\n", builds)
	return nil
}
