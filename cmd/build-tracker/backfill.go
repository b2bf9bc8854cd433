package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	buildtracker "github.com/build-tracker/build-tracker"
	"github.com/build-tracker/build-tracker/config"
)

// backfillCommand fetches the builds that webhooks missed.
type backfillCommand struct{ config.BackfillFlags }

// Help is what `backfill --help` says above its flags.
func (backfillCommand) Help() string {
	return `Compares the finished builds of Buildkite's REST API with the recorded events, and records what is missing, marked as fetched. It goes through the same rules as what webhooks tell: builds that finished longer ago than NOTICE_MAX_AGE are not announced. It asks at most 50 times a minute, for 50 builds each. Interrupted, it goes on where it stopped when it is run again.

On PostgreSQL it works on the stores itself, beside running servers. Where --url names a server, or a running one holds the data folder, that server does the work, with its own BUILDKITE_TOKEN.`
}

// Run backfills, on the stores or through the server that holds them.
func (c *backfillCommand) Run(ctx context.Context, t terminal) error {
	what, cfg, client, err := c.Config(time.Now())
	if err != nil {
		return usageError{err}
	}
	bar := newProgress(t, "Fetching builds")
	log := t.logger(cfg.Log)
	buildtracker.LogRedis(log)
	opts := buildtracker.Options{Logger: log, Version: programVersion()}
	var done buildtracker.Backfilled
	err = hereOrThere(client, func() (err error) {
		done, err = buildtracker.Backfill(ctx, cfg, opts, *what, bar.set)
		return err
	}, func() (err error) {
		done, err = backfillRemotely(ctx, *client, what, bar.set)
		return err
	})
	bar.end()
	if ctx.Err() != nil {
		return errors.New("backfill: interrupted; what was fetched is kept, and it goes on where it stopped when you run it again")
	}
	if err != nil {
		return fmt.Errorf("backfill: %w", err)
	}
	fmt.Fprintf(t.stdout, "Builds compared: %d, events fetched: %d\n", done.Builds, done.Events)
	return nil
}

func backfillRemotely(ctx context.Context, server config.Client, what *config.Backfill, progress func(done, total int64)) (done buildtracker.Backfilled, err error) {
	q := url.Values{"org": {what.Organization}, "since": {what.Since.Format(time.RFC3339Nano)}}
	if what.Pipeline != "" {
		q.Set("pipeline", what.Pipeline)
	}
	if !what.Until.IsZero() {
		q.Set("until", what.Until.Format(time.RFC3339Nano))
	}
	remote := remoteWork{http: http.DefaultClient, server: server, path: "/-/backfill?" + q.Encode()}
	last, err := remote.run(ctx, progress)
	return last.Backfilled, err
}
