package buildtracker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"syscall"

	"github.com/build-tracker/build-tracker/analytics"
	"github.com/build-tracker/build-tracker/config"
)

// ExportOptions say what is exported, from where and where to.
type ExportOptions struct {
	Export *config.Export
	// Config has the store, and BigQuery.
	Config *config.Config
	// Server is asked where it is named, or holds the data folder.
	Server *config.Client
	Logger *slog.Logger // nil logs nothing
	// Progress hears how far the export is, in positions of the stream.
	Progress func(done, total int64)
}

// Exported is what an export came to.
type Exported struct {
	// Tables are those that have rows, with those of earlier runs.
	Tables []ExportedTable
	// Already: the export was finished before, and nothing was done.
	Already bool
	// Dropped is the position up to which retention has dropped events that were
	// wanted; 0 for none.
	Dropped int64
}

// ExportedTable is how many rows of a table were written.
type ExportedTable struct {
	Name string
	Rows int64
}

// Export writes the rows that follow from a range of the stream to files, or to
// BigQuery. Interrupted, it goes on where it stopped when it is run again. It
// changes nothing in the store, and needs it only for reading.
func Export(ctx context.Context, o ExportOptions) (_ *Exported, err error) {
	folder, err := openExportFolder(o.Export.Out)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	ledger, err := folder.ledger()
	if err != nil {
		return nil, err
	}
	asked := ledgerFor(o.Export, o.Config.BigQuery)
	if ledger != nil {
		if !ledger.sameRequest(&asked) {
			return nil, fmt.Errorf("%s is the export %s, and not %s: name another folder with --out", o.Export.Out, ledger.request(), asked.request())
		}
		if ledger.finished() {
			return ledger.exported(true), nil
		}
	}
	source, err := openExportSource(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	if ledger == nil {
		if asked.exportRange, err = findRange(ctx, source, o.Export.Since, o.Export.Until); err != nil {
			return nil, err
		}
		ledger = &asked
		ledger.Position = ledger.After
		if err := folder.keep(ledger); err != nil {
			return nil, diskFull(err, o.Export.Out)
		}
	}
	if err := o.run(ctx, source, folder, ledger); err != nil {
		return nil, diskFull(err, o.Export.Out)
	}
	out := ledger.exported(false)
	dropped, err := source.Dropped(ctx)
	if err != nil {
		return nil, err
	}
	if dropped > ledger.After {
		out.Dropped = min(dropped, ledger.Last)
	}
	return out, nil
}

func (o ExportOptions) run(ctx context.Context, source exportSource, folder *exportFolder, ledger *exportLedger) (err error) {
	log := Options{Logger: o.Logger}.logger()
	if o.Export.To != config.ExportBigQuery {
		x := &fileExport{source: source, folder: folder, ledger: ledger, progress: o.Progress, events: partEvents, bytes: partBytes}
		return x.run(ctx)
	}
	to, err := openBigQuery(ctx, o.Config.BigQuery, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.close()) }()
	to.repeats = true
	x := &bigQueryExport{source: source, folder: folder, ledger: ledger, to: to, pace: newExportPace(), progress: o.Progress, log: log}
	return x.run(ctx)
}

// exported says what the ledger has counted.
func (l *exportLedger) exported(already bool) *Exported {
	out := &Exported{Already: already}
	for _, t := range analytics.Tables() {
		if n := l.Rows[t.Name]; n > 0 {
			out.Tables = append(out.Tables, ExportedTable{Name: t.Name, Rows: n})
		}
	}
	return out
}

// diskFull says what to do about an error, where that is that the disk is full.
func diskFull(err error, path string) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("the disk of %s is full; what is whole there is kept: make room and run the same command again, it goes on where it stopped: %w", path, err)
	}
	return err
}
