package buildtracker

import (
	"bufio"
	"context"
	"fmt"
	"io"

	"github.com/build-tracker/build-tracker/analytics"
	"github.com/build-tracker/build-tracker/config"
	"github.com/build-tracker/build-tracker/db"
)

// A part ends with the event that is the last of so many, or has so many bytes of
// data. That depends on the events alone, so that an export that was interrupted
// has the files of one that was not.
const (
	partEvents = 100_000
	partBytes  = 256 << 20
)

// rowWriter writes the rows of one table in some format.
type rowWriter interface {
	write(values []any) error
	// end writes what is left. The file is its owner's to close.
	end() error
}

// newRowWriter begins a file of rows.
func newRowWriter(format string, to io.Writer, t *analytics.Table) (rowWriter, error) {
	switch format {
	case config.ExportCSV:
		return newCSVWriter(to, t)
	case config.ExportJSONL:
		return &jsonlWriter{to: to, table: t}, nil
	case config.ExportParquet:
		return newParquetWriter(to, t), nil
	}
	return nil, fmt.Errorf("%q is no format of files", format)
}

// jsonlWriter writes a JSON object a line.
type jsonlWriter struct {
	to    io.Writer
	table *analytics.Table
	line  []byte
}

func (w *jsonlWriter) write(values []any) error {
	w.line = append(analytics.Row{Table: w.table, Values: values}.AppendJSON(w.line[:0]), '\n')
	_, err := w.to.Write(w.line)
	return err
}

func (*jsonlWriter) end() error { return nil }

// fileExport writes the rows of a range to files, a file a table and part.
type fileExport struct {
	source   exportSource
	folder   *exportFolder
	ledger   *exportLedger
	progress func(done, total int64)
	// events and bytes bound a part, partEvents and partBytes.
	events, bytes int
}

// run goes on behind the last whole part, to the end of the range.
func (x *fileExport) run(ctx context.Context) error {
	deriver := analytics.NewDeriver(x.source)
	for !x.ledger.finished() {
		if err := x.writePart(ctx, deriver); err != nil {
			return err
		}
	}
	return nil
}

// writePart writes the next part. Until it is whole and the ledger says so, it
// will be written again.
func (x *fileExport) writePart(ctx context.Context, deriver *analytics.Deriver) error {
	p := &filePart{export: x, number: x.ledger.Parts + 1, at: x.ledger.Position, files: make(map[*analytics.Table]*tableFile)}
	defer p.abandon()
	if err := p.fill(ctx, deriver); err != nil {
		return err
	}
	if err := p.keep(); err != nil {
		return err
	}
	next := *x.ledger
	next.Parts, next.Position, next.Rows = p.number, p.at, p.counted(x.ledger.Rows)
	if err := x.folder.keep(&next); err != nil {
		return err
	}
	*x.ledger = next
	return nil
}

// filePart is a part while it is written: a file for each table that has rows.
type filePart struct {
	export *fileExport
	number int
	at     int64 // the position of the last event that is in it
	files  map[*analytics.Table]*tableFile
	events int
	bytes  int
}

// fill adds events until the part is full or the range ends.
func (p *filePart) fill(ctx context.Context, deriver *analytics.Deriver) error {
	x := p.export
	var rows []analytics.Row
	for p.at < x.ledger.Last && !p.full() {
		events, err := x.source.ReadAll(ctx, db.ReadQuery{After: p.at, UpTo: x.ledger.Last, Limit: min(x.events-p.events, eventsAtOnce)})
		if err != nil {
			return fmt.Errorf("read events to export: %w", err)
		}
		if len(events) == 0 {
			p.at = x.ledger.Last // retention has dropped what was there
		}
		for i := 0; i < len(events) && !p.full(); i++ {
			e := &events[i]
			if rows, err = deriver.Append(ctx, rows[:0], e); err != nil {
				return err
			}
			for _, r := range rows {
				if err := p.write(r); err != nil {
					return err
				}
			}
			p.at = e.Position
			p.events++
			p.bytes += len(e.Data)
		}
		x.progress(p.at-x.ledger.After, x.ledger.Last-x.ledger.After)
	}
	return nil
}

func (p *filePart) full() bool { return p.events >= p.export.events || p.bytes >= p.export.bytes }

func (p *filePart) write(r analytics.Row) error {
	f := p.files[r.Table]
	if f == nil {
		var err error
		if f, err = p.open(r.Table); err != nil {
			return err
		}
	}
	f.rows++
	if err := f.format.write(r.Values); err != nil {
		return fmt.Errorf("write %s: %w", f.name, err)
	}
	return nil
}

func (p *filePart) open(t *analytics.Table) (*tableFile, error) {
	format := p.export.ledger.To
	file, err := p.export.folder.create(fmt.Sprintf("%s-%06d.%s", t.Name, p.number, format))
	if err != nil {
		return nil, err
	}
	f := &tableFile{wholeFile: file, buffer: bufio.NewWriterSize(file, 256<<10)}
	p.files[t] = f
	if f.format, err = newRowWriter(format, f.buffer, t); err != nil {
		return nil, fmt.Errorf("write %s: %w", f.name, err)
	}
	return f, nil
}

// keep gives the files their names.
func (p *filePart) keep() error {
	for _, f := range p.files {
		if err := f.keep(); err != nil {
			return err
		}
	}
	return p.export.folder.sync()
}

// counted returns the rows of parts before and this one.
func (p *filePart) counted(before map[string]int64) map[string]int64 {
	rows := make(map[string]int64)
	for _, t := range analytics.Tables() {
		if n := before[t.Name]; n > 0 {
			rows[t.Name] = n
		}
		if f := p.files[t]; f != nil {
			rows[t.Name] += f.rows
		}
	}
	return rows
}

func (p *filePart) abandon() {
	for _, f := range p.files {
		f.abandon()
	}
}

// tableFile is a file of the rows of one table in a part.
type tableFile struct {
	*wholeFile
	buffer *bufio.Writer
	format rowWriter
	rows   int64
}

func (f *tableFile) keep() error {
	if err := f.format.end(); err != nil {
		return fmt.Errorf("write %s: %w", f.name, err)
	}
	if err := f.buffer.Flush(); err != nil {
		return fmt.Errorf("write %s: %w", f.name, err)
	}
	return f.wholeFile.keep()
}
