package main

import (
	"context"

	buildtracker "github.com/build-tracker/build-tracker"
	"github.com/build-tracker/build-tracker/config"
)

// serveCommand runs one replica of the server.
type serveCommand struct{ config.ServeFlags }

// Help is what `serve --help` says above its flags.
func (serveCommand) Help() string {
	return `Takes Buildkite's webhooks at POST /buildkite and answers for what they said under /api.

Told nothing, it keeps everything in ./data and takes webhooks from this machine alone. With DATABASE_URL and REDIS_URL any number of replicas work as one. The log line "listening" says where (field addr). SIGINT and SIGTERM finish what is under way first; a second one does not wait.

A secret may come from a file: SLACK_TOKEN_FILE for SLACK_TOKEN, and so on.`
}

// Run serves until ctx ends.
func (c *serveCommand) Run(ctx context.Context, t terminal) error {
	cfg, err := c.Config()
	if err != nil {
		return usageError{err}
	}
	log := t.logger(cfg.Log)
	buildtracker.LogRedis(log)
	server, err := buildtracker.New(ctx, cfg, buildtracker.Options{Logger: log, Version: programVersion()})
	if err != nil {
		return err
	}
	return server.Run(ctx)
}
