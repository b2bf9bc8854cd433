package main

import (
	"context"
	"errors"
	"fmt"

	buildtracker "github.com/build-tracker/build-tracker"
	"github.com/build-tracker/build-tracker/config"
)

// migrateCommand brings the database's schema up to date.
type migrateCommand struct{ config.MigrateFlags }

// Help is what `migrate --help` says above its flags.
func (migrateCommand) Help() string {
	return `Applies the migrations that the database lacks, and exits. The server does the same when it starts; run this first where the server may not change the schema, or to see it fail by itself.`
}

// Run applies migrations.
func (c *migrateCommand) Run(ctx context.Context, t terminal) error {
	cfg, err := c.Config()
	if err != nil {
		return usageError{err}
	}
	err = buildtracker.Migrate(ctx, cfg, buildtracker.Options{Logger: t.logger(cfg.Log), Version: programVersion()})
	if errors.Is(err, buildtracker.ErrLocked) {
		fmt.Fprintf(t.stdout, "Nothing to do: a running server has %s, and applied its migrations when it started.\n", cfg.DataDir)
		return nil
	}
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	fmt.Fprintln(t.stdout, "The database is up to date.")
	return nil
}
