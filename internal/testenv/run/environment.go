package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/build-tracker/build-tracker/internal/testenv"
	"github.com/build-tracker/build-tracker/internal/testenv/servers"
)

// environment is what a command needs around it. It is to be closed even if
// making it failed.
type environment struct {
	variables []string
	closers   []func() error // in order of making
}

func newEnvironment(ctx context.Context) (*environment, error) {
	e := &environment{}
	dir, err := os.MkdirTemp("", "build-tracker-servers-")
	if err != nil {
		return e, err
	}
	e.closers = append(e.closers, func() error { return os.RemoveAll(dir) })
	// PostgreSQL may run as another user, who needs a way through.
	if err := os.Chmod(dir, 0o755); err != nil {
		return e, err
	}
	postgresBin, redisBin, err := programs(ctx)
	if err != nil {
		return e, err
	}
	e.variables = []string{
		testenv.FolderVariable + "=" + dir,
		"TEST_POSTGRES_BIN=" + postgresBin,
		"TEST_REDIS_BIN=" + redisBin,
	}
	if err := e.postgres(ctx, postgresBin, dir); err != nil {
		return e, err
	}
	return e, e.redis(ctx, redisBin, dir)
}

// postgres checks the server that DATABASE_URL names, or starts one.
func (e *environment) postgres(ctx context.Context, bin, dir string) error {
	if url := os.Getenv("DATABASE_URL"); url != "" {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if err := servers.PingPostgres(ctx, url); err != nil {
			return fmt.Errorf("DATABASE_URL is set, but: %w (unset it to have a server started)", err)
		}
		return nil
	}
	server, err := servers.NewPostgres(ctx, bin, dir)
	if err != nil {
		return err
	}
	e.closers = append(e.closers, server.Close)
	e.variables = append(e.variables, "DATABASE_URL="+server.URL())
	return nil
}

// redis checks the server that REDIS_URL names, or starts one.
func (e *environment) redis(ctx context.Context, bin, dir string) error {
	if url := os.Getenv("REDIS_URL"); url != "" {
		options, err := redis.ParseURL(url)
		if err != nil {
			return fmt.Errorf("REDIS_URL is set, but: %w", err)
		}
		client := redis.NewClient(options)
		defer client.Close()
		if err := client.Ping(ctx).Err(); err != nil {
			return fmt.Errorf("REDIS_URL is set, but: %w (unset it to have a server started)", err)
		}
		return nil
	}
	server, err := servers.NewRedis(ctx, bin, dir)
	if err != nil {
		return err
	}
	e.closers = append(e.closers, server.Close)
	e.variables = append(e.variables, "REDIS_URL="+server.URL())
	return nil
}

// browser adds where Chromium is.
func (e *environment) browser(ctx context.Context) error {
	path, err := chromium(ctx)
	e.variables = append(e.variables, testenv.ChromiumVariable+"="+path)
	return err
}

func (e *environment) close() error {
	var errs []error
	for i := range e.closers {
		errs = append(errs, e.closers[len(e.closers)-1-i]())
	}
	return errors.Join(errs...)
}
