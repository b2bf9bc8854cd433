package bigquery_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"cloud.google.com/go/bigquery/storage/managedwriter"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	fake "github.com/build-tracker/build-tracker/internal/testenv/bigquery"
)

var simple = bigquery.Schema{
	{Name: "id", Type: bigquery.StringFieldType, Required: true},
	{Name: "seconds", Type: bigquery.IntegerFieldType},
}

func ids(rows []fake.Row) (out []string) {
	for _, r := range rows {
		out = append(out, r["id"].(string))
	}
	return out
}

func TestEveryTypeComesBackAsItWasWritten(t *testing.T) {
	t.Parallel()
	w := start(t)
	step := bigquery.Schema{
		{Name: "name", Type: bigquery.StringFieldType, Required: true},
		{Name: "codes", Type: bigquery.IntegerFieldType, Repeated: true},
	}
	schema := bigquery.Schema{
		{Name: "i", Type: bigquery.IntegerFieldType},
		{Name: "f", Type: bigquery.FloatFieldType},
		{Name: "b", Type: bigquery.BooleanFieldType},
		{Name: "s", Type: bigquery.StringFieldType},
		{Name: "y", Type: bigquery.BytesFieldType},
		{Name: "at", Type: bigquery.TimestampFieldType},
		{Name: "day", Type: bigquery.DateFieldType},
		{Name: "j", Type: bigquery.JSONFieldType},
		{Name: "first", Type: bigquery.RecordFieldType, Schema: step},
		{Name: "steps", Type: bigquery.RecordFieldType, Repeated: true, Schema: step},
		{Name: "tags", Type: bigquery.StringFieldType, Repeated: true},
		{Name: "nothing", Type: bigquery.StringFieldType},
	}
	w.table(t, schema)
	e := encode(t, schema)
	at := time.Date(2026, 2, 3, 4, 5, 6, 789_000, time.UTC)
	if _, err := add(t, w.stream(t, e), -1, e.row(map[string]any{
		"i": int64(-7), "f": 1.5, "b": false, "s": "ünï", "y": []byte{0, 255},
		"at": at.UnixMicro(), "day": int32(-719162), "j": `{"a": [1, null]}`,
		"first": map[string]any{"name": "checkout"},
		"steps": []any{map[string]any{"name": "x", "codes": []any{int64(1), int64(2)}}, map[string]any{"name": ""}},
		"tags":  []any{"a", "b"},
	})); err != nil {
		t.Fatal(err)
	}
	want := []fake.Row{{
		"i": int64(-7), "f": 1.5, "b": false, "s": "ünï", "y": []byte{0, 255},
		"at": at, "day": "0001-01-01", "j": `{"a": [1, null]}`,
		"first": fake.Row{"name": "checkout"},
		"steps": []any{fake.Row{"name": "x", "codes": []any{int64(1), int64(2)}}, fake.Row{"name": ""}},
		"tags":  []any{"a", "b"},
	}}
	if diff := cmp.Diff(want, w.Rows("ci", "jobs")); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func TestAnOffsetIsTakenOnceAndInOrder(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.table(t, simple)
	e := encode(t, simple)
	ms := w.stream(t, e, committed())
	row := func(id string) []byte { return e.row(map[string]any{"id": id}) }
	if answer, err := add(t, ms, 0, row("a"), row("b")); err != nil || answer.GetAppendResult().GetOffset().GetValue() != 0 {
		t.Fatal(answer, err)
	}
	_, err := add(t, ms, 0, row("a"), row("b"))
	wantCode(t, err, codes.AlreadyExists, storagepb.StorageError_OFFSET_ALREADY_EXISTS)
	_, err = add(t, ms, 3, row("d"))
	wantCode(t, err, codes.OutOfRange, storagepb.StorageError_OFFSET_OUT_OF_RANGE)
	if answer, err := add(t, ms, 2, row("c")); err != nil || answer.GetAppendResult().GetOffset().GetValue() != 2 {
		t.Fatal(answer, err)
	}
	if answer, err := add(t, ms, -1, row("d")); err != nil || answer.GetAppendResult().GetOffset().GetValue() != 3 {
		t.Fatal(answer, err)
	}
	if diff := cmp.Diff([]string{"a", "b", "c", "d"}, ids(w.Rows("ci", "jobs"))); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if n, err := ms.Finalize(t.Context()); err != nil || n != 4 {
		t.Fatal(n, err)
	}
	_, err = add(t, ms, 4, row("e"))
	wantCode(t, err, codes.InvalidArgument, storagepb.StorageError_STREAM_FINALIZED)
	want := []fake.StreamInfo{{Name: ms.StreamName(), Rows: 4, Finalized: true}}
	if diff := cmp.Diff(want, w.Streams("ci", "jobs")); diff != "" {
		t.Errorf("streams (-want +got):\n%s", diff)
	}
}

func TestTheDefaultStreamTakesNoOffset(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.table(t, simple)
	e := encode(t, simple)
	_, err := add(t, w.stream(t, e), 0, e.row(map[string]any{"id": "a"}))
	wantCode(t, err, codes.InvalidArgument, 0)
}

func TestOnlyCommittedStreamsOfTablesCanBeCreated(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.table(t, simple)
	if err := w.rest.Dataset("ci").Table("recent").Create(t.Context(), &bigquery.TableMetadata{ViewQuery: "SELECT 1"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		table string
		typ   managedwriter.StreamType
		code  codes.Code
	}{
		{"jobs", managedwriter.PendingStream, codes.InvalidArgument},
		{"jobs", managedwriter.BufferedStream, codes.InvalidArgument},
		{"other", managedwriter.CommittedStream, codes.NotFound},
		{"recent", managedwriter.CommittedStream, codes.InvalidArgument},
		{"recent", managedwriter.DefaultStream, codes.InvalidArgument},
	} {
		_, err := w.writer.NewManagedStream(t.Context(), managedwriter.WithType(c.typ),
			managedwriter.WithDestinationTable("projects/test/datasets/ci/tables/"+c.table))
		if code, _ := codeOf(err); code != c.code {
			t.Errorf("%s stream of %s: %v, want %v", c.typ, c.table, err, c.code)
		}
	}
}

func TestARequestWithAWrongRowIsNotStored(t *testing.T) {
	t.Parallel()
	w := start(t)
	schema := append(bigquery.Schema{
		{Name: "at", Type: bigquery.TimestampFieldType},
		{Name: "day", Type: bigquery.DateFieldType},
		{Name: "j", Type: bigquery.JSONFieldType},
	}, simple...)
	w.table(t, schema)
	// The writer says nothing of what is required, and is not checked by the client.
	loose := append(bigquery.Schema{{Name: "id", Type: bigquery.BytesFieldType}}, schema[:3]...)
	bytes, texts := encode(t, loose), encode(t, append(bigquery.Schema{{Name: "id", Type: bigquery.StringFieldType}}, schema[:3]...))
	ms := w.stream(t, texts, committed())
	good := texts.row(map[string]any{"id": "a"})
	for _, c := range []struct {
		name, message string
		row           []byte
	}{
		{"no required column", "is REQUIRED", texts.row(nil)},
		{"unknown field", "does not have", append([]byte{0xf8, 0x06, 1}, good...)},
		{"wrong wire type", "does not have", append([]byte{0x08, 1}, good...)},
		{"cut short", "Failed to parse", good[:len(good)-1]},
		{"invalid UTF-8", "UTF-8", bytes.row(map[string]any{"id": []byte{0xff}})},
		{"date too late", "DATE", texts.row(map[string]any{"id": "a", "day": int32(2932897)})},
		{"time too early", "TIMESTAMP", texts.row(map[string]any{"id": "a", "at": int64(-62135596800_000001)})},
		{"no JSON", "not valid JSON", texts.row(map[string]any{"id": "a", "j": "{"})},
	} {
		answer, err := add(t, ms, 0, good, c.row)
		if code, _ := codeOf(err); code != codes.InvalidArgument {
			t.Errorf("%s: error %v", c.name, err)
			continue
		}
		wrong := answer.GetRowErrors()
		if len(wrong) != 1 || wrong[0].GetIndex() != 1 || wrong[0].GetCode() != storagepb.RowError_FIELDS_ERROR || !strings.Contains(wrong[0].GetMessage(), c.message) {
			t.Errorf("%s: row errors %v, want %q of row 1", c.name, wrong, c.message)
		}
	}
	if n := len(w.Rows("ci", "jobs")); n != 0 {
		t.Errorf("%d rows stored", n)
	}
	if _, err := add(t, ms, 0, good); err != nil {
		t.Errorf("the connection does not go on: %v", err)
	}
}

func TestAWritersSchemaMustFitTheTable(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.table(t, simple)
	id := map[string]any{"id": "a"}
	for _, c := range []struct {
		name   string
		column *bigquery.FieldSchema
		own    storagepb.StorageError_StorageErrorCode
	}{
		{"extra column", &bigquery.FieldSchema{Name: "more", Type: bigquery.StringFieldType}, storagepb.StorageError_SCHEMA_MISMATCH_EXTRA_FIELDS},
		{"other type", &bigquery.FieldSchema{Name: "seconds", Type: bigquery.StringFieldType}, 0},
		{"repeated", &bigquery.FieldSchema{Name: "seconds", Type: bigquery.IntegerFieldType, Repeated: true}, 0},
	} {
		e := encode(t, bigquery.Schema{simple[0], c.column})
		_, err := add(t, w.stream(t, e), -1, e.row(id))
		if code, own := codeOf(err); code != codes.InvalidArgument || own != c.own {
			t.Errorf("%s: error %v, %v", c.name, err, own)
		}
	}
}

func TestARequestAboveTenMegabytesIsRefused(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.table(t, simple)
	e := encode(t, simple)
	ms := w.stream(t, e, committed())
	_, err := add(t, ms, 0, e.row(map[string]any{"id": strings.Repeat("x", 10_000_000)}))
	wantCode(t, err, codes.InvalidArgument, 0)
	if _, err := add(t, ms, 0, e.row(map[string]any{"id": strings.Repeat("x", 9_999_000)})); err != nil {
		t.Errorf("below it: %v", err)
	}
	if n := len(w.Rows("ci", "jobs")); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
}

func TestANewColumnIsToldOnceAndCanThenBeWritten(t *testing.T) {
	t.Parallel()
	w := start(t)
	table := w.table(t, simple)
	e := encode(t, simple)
	ms := w.stream(t, e)
	row := func(id string) []byte { return e.row(map[string]any{"id": id}) }
	if answer, err := add(t, ms, -1, row("a")); err != nil || answer.GetUpdatedSchema() != nil {
		t.Fatal(answer, err)
	}
	wider := append(append(bigquery.Schema{}, simple...), &bigquery.FieldSchema{Name: "queue", Type: bigquery.StringFieldType})
	if _, err := table.Update(t.Context(), bigquery.TableMetadataToUpdate{Schema: wider}, ""); err != nil {
		t.Fatal(err)
	}
	for i, told := range []bool{true, false} {
		answer, err := add(t, ms, -1, row("b"))
		if err != nil || (answer.GetUpdatedSchema() != nil) != told {
			t.Errorf("append %d after the change: schema %v, error %v", i, answer.GetUpdatedSchema(), err)
		}
		if fields := answer.GetUpdatedSchema().GetFields(); told && (len(fields) != 3 || fields[2].GetName() != "queue") {
			t.Errorf("told %v", fields)
		}
	}
	wide := encode(t, wider)
	result, err := ms.AppendRows(t.Context(), [][]byte{wide.row(map[string]any{"id": "c", "queue": "default"})},
		managedwriter.UpdateSchemaDescriptor(wide.schema()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := result.GetResult(t.Context()); err != nil {
		t.Fatal(err)
	}
	rows := w.Rows("ci", "jobs")
	if diff := cmp.Diff(fake.Row{"id": "c", "queue": "default"}, rows[len(rows)-1]); diff != "" {
		t.Errorf("the wider row (-want +got):\n%s", diff)
	}
}

func TestStreamsAreWrittenAtOnce(t *testing.T) {
	t.Parallel()
	w := startWith(t, fake.Options{Discard: true})
	w.table(t, simple)
	e := encode(t, simple)
	var writers sync.WaitGroup
	for range 4 {
		ms := w.stream(t, e, committed())
		writers.Go(func() {
			for at := range int64(10) {
				if _, err := add(t, ms, at, e.row(map[string]any{"id": "a"})); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	if n := w.Counts(); n.Rows != 40 || n.Appends != 40 || n.Bytes != 40*3 {
		t.Errorf("counts %+v", n)
	}
	if info, _ := w.Table("ci", "jobs"); info.NumRows != 40 || len(w.Rows("ci", "jobs")) != 0 {
		t.Errorf("%d rows counted, %d kept", info.NumRows, len(w.Rows("ci", "jobs")))
	}
}
