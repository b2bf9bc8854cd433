package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	buildtracker "github.com/build-tracker/build-tracker"
	"github.com/build-tracker/build-tracker/config"
)

// serveCommand runs one replica of the server.
type serveCommand struct{ config.ServeFlags }

// Help is what `serve --help` says above its flags.
func (serveCommand) Help() string {
	return `Takes Buildkite's webhooks at POST /buildkite and answers for what they said under /api.

Told nothing, it keeps everything in ./data and takes webhooks from this machine alone. With DATABASE_URL and REDIS_URL any number of replicas work as one. The log line "listening" says where (field addr). SIGINT and SIGTERM finish what is under way first; a second one does not wait.

A secret may come from a file: SLACK_TOKEN_FILE for SLACK_TOKEN, and so on.

--config names a YAML file with settings, each under its flag's name with _ for -, and with teams, retention and env_keep. Where it changes, and at SIGHUP, it is read again; teams, retention, env_keep and the log level follow at once, the rest at the next start. A file that is wrong changes nothing.

OTEL_EXPORTER_OTLP_ENDPOINT sends traces there, by OTLP over HTTP; the other OTEL_ variables hold too.`
}

// Run serves until ctx ends.
func (c *serveCommand) Run(ctx context.Context, t terminal) error {
	cfg, err := c.Config()
	if err != nil {
		return usageError{err}
	}
	level := new(slog.LevelVar)
	level.Set(cfg.Log.Level)
	log := t.loggerAt(level, cfg.Log.Format)
	buildtracker.LogRedis(log)
	traces, err := buildtracker.TraceExporter(ctx)
	if err != nil {
		return usageError{err}
	}
	// From here on a hang-up ends nothing.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	server, err := buildtracker.New(ctx, cfg, buildtracker.Options{
		Logger: log, Version: programVersion(), TraceExporter: traces,
		Reload: c.Config, LogLevel: level,
	})
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	var reloading sync.WaitGroup
	reloading.Go(func() { reloadOn(hangups, ended, server) })
	defer reloading.Wait()
	defer close(ended)
	return server.Run(ctx)
}

// reloadOn reads the configuration again at each hang-up, until ended is closed.
func reloadOn(hangups <-chan os.Signal, ended <-chan struct{}, server *buildtracker.Server) {
	for {
		select {
		case <-ended:
			return
		case <-hangups:
			_ = server.Reload() // what is wrong is in the log
		}
	}
}
