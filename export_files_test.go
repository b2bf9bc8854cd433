package buildtracker

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/build-tracker/build-tracker/analytics"
	"github.com/build-tracker/build-tracker/config"
	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/stream"
)

// everything is a table with columns of every kind.
var everything = &analytics.Table{Name: "everything", Columns: []analytics.Column{
	{Name: "zulu", Kind: analytics.Time, Required: true},
	{Name: "count", Kind: analytics.Integer, Required: true},
	{Name: "note", Kind: analytics.String},
	{Name: "many", Kind: analytics.Integer},
	{Name: "part", Kind: analytics.Float},
	{Name: "done", Kind: analytics.Bool},
	{Name: "at", Kind: analytics.Time},
	{Name: "list", Kind: analytics.Strings},
	{Name: "who", Kind: analytics.Record, Columns: []analytics.Column{
		{Name: "name", Kind: analytics.String},
		{Name: "email", Kind: analytics.String},
	}},
	{Name: "end", Kind: analytics.String},
}}

func everyValue() [][]any {
	at := time.Date(2026, 1, 5, 9, 30, 0, 123_456_000, time.UTC)
	return [][]any{
		{at, int64(1), "plain", int64(-5), 0.1, true, at, []string{"a", "b, c", `"d"`}, []any{"Ann", "ann@example.com"}, "x"},
		{at, int64(2), nil, nil, nil, nil, nil, nil, nil, nil},
		{at, int64(3), "=1+1, \"so\"\r\nnext", int64(1 << 62), 1e21, false, at, []string{}, []any{nil, "b"}, ""},
		{at, int64(4), []byte("@é\n"), int64(0), 0.0, false, at, []string{""}, []any{nil, nil}, " "},
	}
}

func written(t *testing.T, format string, table *analytics.Table, rows [][]any) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := newRowWriter(format, &out, table)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if err := w.write(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.end(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestCSVIsAsItsRFCSays(t *testing.T) {
	t.Parallel()
	want := strings.ReplaceAll(`zulu,count,note,many,part,done,at,list,who.name,who.email,end
2026-01-05T09:30:00.123456Z,1,plain,-5,0.1,true,2026-01-05T09:30:00.123456Z,"[""a"",""b, c"",""\""d\""""]",Ann,ann@example.com,x
2026-01-05T09:30:00.123456Z,2,,,,,,,,,
2026-01-05T09:30:00.123456Z,3,"=1+1, ""so""~next",4611686018427387904,1000000000000000000000,false,2026-01-05T09:30:00.123456Z,[],,b,""
2026-01-05T09:30:00.123456Z,4,"@é!",0,0,false,2026-01-05T09:30:00.123456Z,"[""""]",,, `, "\n", "\r\n") + "\r\n"
	want = strings.NewReplacer("~", "\r\n", "!", "\n").Replace(want)
	if diff := cmp.Diff(want, string(written(t, config.ExportCSV, everything, everyValue()))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParquetKeepsEveryKind(t *testing.T) {
	t.Parallel()
	file := written(t, config.ExportParquet, everything, everyValue())
	wantSchema := `message everything {
	required int64 zulu (TIMESTAMP(isAdjustedToUTC=true,unit=MICROS));
	required int64 count (INT(64,true));
	optional binary note (STRING);
	optional int64 many (INT(64,true));
	optional double part;
	optional boolean done;
	optional int64 at (TIMESTAMP(isAdjustedToUTC=true,unit=MICROS));
	required group list (LIST) {
		repeated group list {
			required binary element (STRING);
		}
	}
	optional group who {
		optional binary name (STRING);
		optional binary email (STRING);
	}
	optional binary end (STRING);
}`
	schema, got := readParquet(t, file, everything)
	if diff := cmp.Diff(wantSchema, schema); diff != "" {
		t.Errorf("schema (-want +got):\n%s", diff)
	}
	want := everyValue()
	want[1][7] = []string{}
	want[3][2] = "@é\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

// readParquet reads a file of a table's rows with the library's own types.
func readParquet(t *testing.T, file []byte, table *analytics.Table) (schema string, rows [][]any) {
	t.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range f.RowGroups() {
		from := group.Rows()
		buffer := make([]parquet.Row, 1)
		for {
			n, err := from.ReadRows(buffer)
			if n == 1 {
				byColumn := make([][]parquet.Value, len(f.Schema().Columns()))
				buffer[0].Range(func(i int, values []parquet.Value) bool {
					byColumn[i] = values
					return true
				})
				at := 0
				rows = append(rows, fromParquet(t, table.Columns, byColumn, &at, 0))
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := from.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return f.Schema().String(), rows
}

func fromParquet(t *testing.T, columns []analytics.Column, leaves [][]parquet.Value, at *int, level int) []any {
	t.Helper()
	out := make([]any, len(columns))
	for i, c := range columns {
		v := leaves[*at][0]
		if c.Kind == analytics.Record {
			there := v.DefinitionLevel() > level
			if inner := fromParquet(t, c.Columns, leaves, at, level+1); there {
				out[i] = inner
			}
			continue
		}
		list := leaves[*at]
		*at++
		switch {
		case c.Kind == analytics.Strings:
			texts := []string{}
			for _, v := range list {
				if !v.IsNull() {
					texts = append(texts, string(v.ByteArray()))
				}
			}
			out[i] = texts
		case v.IsNull():
		case c.Kind == analytics.String:
			out[i] = string(v.ByteArray())
		case c.Kind == analytics.Integer:
			out[i] = v.Int64()
		case c.Kind == analytics.Float:
			out[i] = v.Double()
		case c.Kind == analytics.Bool:
			out[i] = v.Boolean()
		case c.Kind == analytics.Time:
			out[i] = time.UnixMicro(v.Int64()).UTC()
		}
	}
	return out
}

// agentConnects records an event with a list.
func (r *rig) agentConnects() {
	r.t.Helper()
	_, err := r.db.Append(r.t.Context(), db.Delivery{
		Key: [32]byte{1}, Organization: "acme", Type: "agent.connected",
		Data: []byte(`{"event":"agent.connected","agent":{"id":"a","name":"=b","meta_data":["queue=x","os=linux","queue=y"]}}`),
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// rowsOf returns what follows from a range of the stream, by table.
func (r *rig) rowsOf(from exportRange) map[string][]analytics.Row {
	r.t.Helper()
	d := analytics.NewDeriver(r.db)
	out := make(map[string][]analytics.Row)
	for from.After < from.Last {
		events, err := r.db.ReadAll(r.t.Context(), db.ReadQuery{After: from.After, UpTo: from.Last})
		if err != nil {
			r.t.Fatal(err)
		}
		for i := range events {
			rows, err := d.Append(r.t.Context(), nil, &events[i])
			if err != nil {
				r.t.Fatal(err)
			}
			for _, row := range rows {
				out[row.Table.Name] = append(out[row.Table.Name], row)
			}
			from.After = events[i].Position
		}
	}
	return out
}

func (r *rig) head() int64 {
	r.t.Helper()
	head, err := r.db.Head(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return head
}

// fileExport returns an export of the whole stream in parts of so many events.
func (r *rig) fileExport(source exportSource, folder, format string, events int) *fileExport {
	r.t.Helper()
	at, err := openExportFolder(folder)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { at.Close() })
	ledger, err := at.ledger()
	if err != nil {
		r.t.Fatal(err)
	}
	if ledger == nil {
		ledger = &exportLedger{To: format, exportRange: exportRange{Last: r.head()}}
	}
	return &fileExport{
		source: source, folder: at, ledger: ledger, progress: func(int64, int64) {}, events: events, bytes: partBytes,
	}
}

// contents are the files of a folder, by name.
func contents(t *testing.T, folder string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]string)
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = string(text)
	}
	return out
}

// parts returns the contents of a table's files, in order.
func parts(files map[string]string, table, format string) []string {
	var out []string
	for n := 1; n < 1000; n++ {
		if text, ok := files[fmt.Sprintf("%s-%06d.%s", table, n, format)]; ok {
			out = append(out, text)
		}
	}
	return out
}

func TestFilesHoldTheRowsOfTheStream(t *testing.T) {
	t.Parallel()
	r := newExportRig(t, embeddedStores(t))
	r.fill(1, 12)
	r.agentConnects()
	want := r.rowsOf(exportRange{Last: r.head()})
	for _, table := range []string{"events", "builds", "steps", "jobs", "notices", "agent_status"} {
		if len(want[table]) == 0 {
			t.Errorf("no rows in %s", table)
		}
	}
	for _, format := range []string{config.ExportCSV, config.ExportJSONL, config.ExportParquet} {
		t.Run(format, func(t *testing.T) {
			folder := t.TempDir()
			x := r.fileExport(r.db, folder, format, 50)
			if err := x.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			files := contents(t, folder)
			for _, table := range analytics.Tables() {
				var want, got []string
				for _, row := range r.rowsOf(x.ledger.exportRange)[table.Name] {
					want = append(want, asRead(t, format, row))
				}
				for _, part := range parts(files, table.Name, format) {
					got = append(got, readBack(t, format, table, part)...)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("table %s (-want +got):\n%.2000s", table.Name, diff)
				}
				if n := x.ledger.Rows[table.Name]; n != int64(len(want)) {
					t.Errorf("%d rows of %s were counted, want %d", n, table.Name, len(want))
				}
			}
		})
	}
}

// asRead is a row as readBack returns it.
func asRead(t *testing.T, format string, row analytics.Row) string {
	t.Helper()
	if format != config.ExportCSV {
		return string(row.AppendJSON(nil))
	}
	var cells []string
	var add func(columns []analytics.Column, values []any)
	add = func(columns []analytics.Column, values []any) {
		for i, c := range columns {
			switch v := values[i].(type) {
			case nil:
				for range max(1, len(c.Columns)) {
					cells = append(cells, "")
				}
			case []any:
				add(c.Columns, v)
			case []string:
				text, err := json.Marshal(v)
				if err != nil {
					t.Fatal(err)
				}
				cells = append(cells, strings.ReplaceAll(string(text), "null", "[]"))
			case time.Time:
				cells = append(cells, v.Format(time.RFC3339Nano))
			case []byte:
				cells = append(cells, string(v))
			case float64:
				cells = append(cells, strconv.FormatFloat(v, 'f', -1, 64))
			default:
				cells = append(cells, strings.ReplaceAll(fmt.Sprint(v), "\r\n", "\n")) // as encoding/csv reads it
			}
		}
	}
	add(row.Table.Columns, row.Values)
	return strings.Join(cells, "\x00")
}

func readBack(t *testing.T, format string, table *analytics.Table, part string) []string {
	t.Helper()
	var out []string
	switch format {
	case config.ExportJSONL:
		out = strings.Split(strings.TrimSuffix(part, "\n"), "\n")
	case config.ExportCSV:
		lines, err := csv.NewReader(strings.NewReader(part)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines[1:] {
			out = append(out, strings.Join(line, "\x00"))
		}
	case config.ExportParquet:
		_, rows := readParquet(t, []byte(part), table)
		for _, values := range rows {
			out = append(out, string(analytics.Row{Table: table, Values: values}.AppendJSON(nil)))
		}
	}
	return out
}

// flakySource fails at every nth page.
type flakySource struct {
	exportSource
	pages, every int
}

var errFlaky = errors.New("the store is away")

func (s *flakySource) ReadAll(ctx context.Context, q db.ReadQuery) ([]stream.Event, error) {
	if s.pages++; s.pages%s.every == 0 {
		return nil, errFlaky
	}
	q.Limit = min(q.Limit, 1+s.pages%7) // pages differ from run to run
	return s.exportSource.ReadAll(ctx, q)
}

func TestAnInterruptedExportHasTheFilesOfOneThatWasNot(t *testing.T) {
	t.Parallel()
	r := newExportRig(t, embeddedStores(t))
	r.fill(2, 8)
	for _, format := range []string{config.ExportCSV, config.ExportJSONL, config.ExportParquet} {
		t.Run(format, func(t *testing.T) {
			whole, broken := t.TempDir(), t.TempDir()
			if err := r.fileExport(r.db, whole, format, 20).run(t.Context()); err != nil {
				t.Fatal(err)
			}
			source := &flakySource{exportSource: r.db, every: 11}
			interruptions := 0
			for done := false; !done; {
				x := r.fileExport(source, broken, format, 20)
				if interruptions == 3 { // whole files, and no word of them
					if err := os.Mkdir(filepath.Join(broken, "."+ledgerName+".part"), 0o700); err != nil {
						t.Fatal(err)
					}
				}
				before := x.ledger.Position
				err := x.run(t.Context())
				done = err == nil
				if !done {
					interruptions++
				}
				if interruptions == 4 && before != x.ledger.Position {
					t.Error("the ledger is ahead of what was kept")
				}
				os.Remove(filepath.Join(broken, "."+ledgerName+".part"))
				x.folder.Close()
			}
			if interruptions < 5 {
				t.Errorf("it was interrupted %d times only", interruptions)
			}
			if diff := cmp.Diff(contents(t, whole), contents(t, broken)); diff != "" {
				t.Errorf("files (-whole +interrupted):\n%.2000s", diff)
			}
		})
	}
}

func TestAFullDiskIsToldAndNothingWholeIsLost(t *testing.T) {
	t.Parallel()
	const full = "/dev/full"
	if _, err := os.Stat(full); err != nil {
		t.Skip("there is no ", full)
	}
	r := newExportRig(t, embeddedStores(t))
	r.fill(3, 4)
	folder := t.TempDir()
	if err := os.Symlink(full, filepath.Join(folder, ".events-000002.jsonl.part")); err != nil {
		t.Fatal(err)
	}
	x := r.fileExport(r.db, folder, config.ExportJSONL, 20)
	err := diskFull(x.run(t.Context()), folder)
	if err == nil || !strings.Contains(err.Error(), "make room and run the same command again") {
		t.Fatalf("error %v", err)
	}
	if x.ledger.Parts != 1 || x.ledger.Position == 0 {
		t.Errorf("the ledger is at part %d, position %d", x.ledger.Parts, x.ledger.Position)
	}
	if err := x.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := t.TempDir()
	if err := r.fileExport(r.db, want, config.ExportJSONL, 20).run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(contents(t, want), contents(t, folder)); diff != "" {
		t.Errorf("files (-want +got):\n%.2000s", diff)
	}
}
