package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	buildtracker "github.com/build-tracker/build-tracker"
	"github.com/build-tracker/build-tracker/config"
)

// exportCommand writes a range of the stream to files or to BigQuery.
type exportCommand struct{ config.ExportFlags }

// Help is what `export --help` says above its flags.
func (exportCommand) Help() string {
	return `Exports what was recorded in a range of time, as the tables that the server exports to BigQuery: events, builds, steps, jobs, notices, agent_status and rejected. Files are TABLE-000001.csv and so on, in the folder that --out names; a table without rows has none. Interrupted, it goes on where it stopped: run the same command again. A folder holds one export, which is not done twice: one a night needs a folder a night.

To BigQuery it appends: rows that are in the tables already, because the server exported them or because this was run before into another folder, are there twice then. The views TABLE_once, which it makes, leave those out.

PostgreSQL is read beside running servers. Where --url names a server, or a running one holds the data folder, its API is read.`
}

// Run exports, and says how many rows there are.
func (c *exportCommand) Run(ctx context.Context, t terminal) error {
	export, cfg, server, err := c.Config(time.Now())
	if err != nil {
		return usageError{err}
	}
	bar := newProgress(t, "Exporting")
	done, err := buildtracker.Export(ctx, buildtracker.ExportOptions{
		Export: export, Config: cfg, Server: server, Logger: t.logger(cfg.Log), Progress: bar.set,
	})
	bar.end()
	if ctx.Err() != nil && err != nil {
		return errors.New("export: interrupted; run the same command again, it goes on where it stopped")
	}
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	if done.Dropped > 0 {
		fmt.Fprintf(t.stderr, "Retention has dropped events up to position %d: rows of them may be missing.\n", done.Dropped)
	}
	if done.Already {
		fmt.Fprintf(t.stderr, "This export was finished before, nothing was done. Another one needs another folder: --out names it.\n")
	}
	printExported(t.stdout, done)
	return nil
}

// printExported writes the rows of each table on one line.
func printExported(w io.Writer, done *buildtracker.Exported) {
	fmt.Fprint(w, "Rows exported: ")
	if len(done.Tables) == 0 {
		fmt.Fprint(w, "0")
	}
	for i, table := range done.Tables {
		if i > 0 {
			fmt.Fprint(w, ", ")
		}
		fmt.Fprintf(w, "%s %d", table.Name, table.Rows)
	}
	fmt.Fprintln(w)
}
