package bigquery_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"
)

func wantRefusal(t *testing.T, err error, code int, reason, message string) {
	t.Helper()
	refusal, is := errors.AsType[*googleapi.Error](err)
	if !is {
		t.Errorf("error %v, want %d %s", err, code, reason)
		return
	}
	if len(refusal.Errors) != 1 || refusal.Code != code || refusal.Errors[0].Reason != reason || !strings.Contains(refusal.Message, message) {
		t.Errorf("error %v, want %d %s, %q", err, code, reason, message)
	}
}

func TestDatasetsAreThereOnce(t *testing.T) {
	t.Parallel()
	w := start(t)
	ctx := t.Context()
	wantRefusal(t, w.rest.Dataset("ci").Create(ctx, nil), http.StatusConflict, "duplicate", "test:ci")
	wantRefusal(t, w.rest.Dataset("c-i").Create(ctx, nil), http.StatusBadRequest, "invalid", "c-i")
	_, err := w.rest.Dataset("other").Metadata(ctx)
	wantRefusal(t, err, http.StatusNotFound, "notFound", "test:other")
	_, err = w.rest.DatasetInProject("elsewhere", "ci").Metadata(ctx)
	wantRefusal(t, err, http.StatusNotFound, "notFound", "elsewhere")
	if md, err := w.rest.Dataset("ci").Metadata(ctx); err != nil || md.FullID != "test:ci" || md.ETag == "" {
		t.Error(md, err)
	}
}

var wide = bigquery.Schema{
	{Name: "at", Type: bigquery.TimestampFieldType, Required: true, Description: "When the job began."},
	{Name: "queue", Type: bigquery.StringFieldType},
	{Name: "steps", Type: bigquery.RecordFieldType, Repeated: true, Schema: bigquery.Schema{
		{Name: "name", Type: bigquery.StringFieldType},
	}},
}

func TestATableIsAsItWasCreated(t *testing.T) {
	t.Parallel()
	w := start(t)
	table := w.rest.Dataset("ci").Table("jobs")
	_, err := table.Metadata(t.Context())
	wantRefusal(t, err, http.StatusNotFound, "notFound", "test:ci.jobs")
	want := &bigquery.TableMetadata{
		Description: "Jobs.", Schema: wide, RequirePartitionFilter: true,
		TimePartitioning: &bigquery.TimePartitioning{Type: bigquery.DayPartitioningType, Field: "at"},
		Clustering:       &bigquery.Clustering{Fields: []string{"queue"}},
	}
	if err := table.Create(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, table.Create(t.Context(), want), http.StatusConflict, "duplicate", "test:ci.jobs")
	got, err := table.Metadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	shown := &bigquery.TableMetadata{
		Description: got.Description, Schema: got.Schema, RequirePartitionFilter: got.RequirePartitionFilter,
		TimePartitioning: got.TimePartitioning, Clustering: got.Clustering,
	}
	if diff := cmp.Diff(want, shown); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	info, _ := w.Table("ci", "jobs")
	if f := info.Schema.Fields[0]; f.Type != "TIMESTAMP" || f.Mode != "REQUIRED" {
		t.Errorf("REST shows %+v", f)
	}
	if err := table.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, there := w.Table("ci", "jobs"); there {
		t.Error("the table is still there")
	}
}

func TestTablesThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	w := start(t)
	day := func(field string) *bigquery.TimePartitioning { return &bigquery.TimePartitioning{Field: field} }
	by := func(fields ...string) *bigquery.Clustering { return &bigquery.Clustering{Fields: fields} }
	one := func(f bigquery.FieldSchema) bigquery.Schema { return bigquery.Schema{&f} }
	text := bigquery.StringFieldType
	for name, c := range map[string]struct {
		table   bigquery.TableMetadata
		message string
	}{
		"a column twice":         {bigquery.TableMetadata{Schema: bigquery.Schema{{Name: "a", Type: text}, {Name: "A", Type: text}}}, "Duplicate"},
		"a column's name":        {bigquery.TableMetadata{Schema: one(bigquery.FieldSchema{Name: "a-b", Type: text})}, "Invalid field name"},
		"a reserved name":        {bigquery.TableMetadata{Schema: one(bigquery.FieldSchema{Name: "_partitiontime", Type: text})}, "prefix"},
		"no type":                {bigquery.TableMetadata{Schema: one(bigquery.FieldSchema{Name: "a", Type: "VARCHAR"})}, "VARCHAR"},
		"an empty record":        {bigquery.TableMetadata{Schema: one(bigquery.FieldSchema{Name: "a", Type: bigquery.RecordFieldType})}, "RECORD"},
		"a long description":     {bigquery.TableMetadata{Schema: one(bigquery.FieldSchema{Name: "a", Type: text, Description: strings.Repeat("é", 1025)})}, "1024"},
		"partitions of nothing":  {bigquery.TableMetadata{Schema: wide, TimePartitioning: day("nope")}, "cannot be found"},
		"partitions of text":     {bigquery.TableMetadata{Schema: wide, TimePartitioning: day("queue")}, "TIMESTAMP or DATE"},
		"a filter alone":         {bigquery.TableMetadata{Schema: wide, RequirePartitionFilter: true}, "partitioned tables"},
		"clusters of nothing":    {bigquery.TableMetadata{Schema: wide, Clustering: by("nope")}, "cannot be found"},
		"clusters of a record":   {bigquery.TableMetadata{Schema: wide, Clustering: by("steps")}, "cannot be clustered"},
		"clusters of five":       {bigquery.TableMetadata{Schema: wide, Clustering: by("a", "b", "c", "d", "e")}, "1 to 4"},
		"a view with partitions": {bigquery.TableMetadata{ViewQuery: "SELECT 1", TimePartitioning: day("at")}, "view"},
		"what is not known":      {bigquery.TableMetadata{Schema: wide, DefaultCollation: "und:ci"}, "does not know"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := w.rest.Dataset("ci").Table("jobs").Create(t.Context(), &c.table)
			wantRefusal(t, err, http.StatusBadRequest, "invalid", c.message)
		})
	}
}

func TestASchemaOnlyGrows(t *testing.T) {
	t.Parallel()
	w := start(t)
	table := w.table(t, wide)
	text := bigquery.StringFieldType
	steps := func(of ...*bigquery.FieldSchema) *bigquery.FieldSchema {
		return &bigquery.FieldSchema{Name: "steps", Type: bigquery.RecordFieldType, Repeated: true, Schema: of}
	}
	for name, c := range map[string]struct {
		schema  bigquery.Schema
		message string
	}{
		"one less":            {wide[:2], "missing in new schema"},
		"another type":        {bigquery.Schema{wide[0], {Name: "queue", Type: bigquery.IntegerFieldType}, wide[2]}, "changed type from STRING to INTEGER"},
		"now required":        {bigquery.Schema{wide[0], {Name: "queue", Type: text, Required: true}, wide[2]}, "changed mode from NULLABLE to REQUIRED"},
		"one required":        {bigquery.Schema{wide[0], wide[1], wide[2], {Name: "a", Type: text, Required: true}}, "Cannot add required"},
		"one in between":      {bigquery.Schema{wide[0], {Name: "a", Type: text}, wide[1], wide[2]}, "to the end"},
		"less within":         {bigquery.Schema{wide[0], wide[1], steps(&bigquery.FieldSchema{Name: "id", Type: text})}, "steps.name is missing"},
		"one required within": {bigquery.Schema{wide[0], wide[1], steps(wide[2].Schema[0], &bigquery.FieldSchema{Name: "id", Type: text, Required: true})}, "field: steps.id"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := table.Update(t.Context(), bigquery.TableMetadataToUpdate{Schema: c.schema}, "")
			wantRefusal(t, err, http.StatusBadRequest, "invalid", c.message)
		})
	}
	more := bigquery.Schema{
		{Name: "at", Type: bigquery.TimestampFieldType, Description: "Another description."},
		wide[1],
		steps(wide[2].Schema[0], &bigquery.FieldSchema{Name: "id", Type: text}),
		{Name: "tags", Type: text, Repeated: true},
	}
	md, err := table.Update(t.Context(), bigquery.TableMetadataToUpdate{Schema: more}, "")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(more, md.Schema); diff != "" {
		t.Errorf("schema (-want +got):\n%s", diff)
	}
}

func TestAnUpdateOfWhatHasChangedIsRefused(t *testing.T) {
	t.Parallel()
	w := start(t)
	table := w.table(t, wide)
	before, err := table.Metadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	after, err := table.Update(t.Context(), bigquery.TableMetadataToUpdate{Description: "one"}, before.ETag)
	if err != nil || after.Description != "one" || len(after.Schema) != len(wide) {
		t.Fatal(after, err)
	}
	_, err = table.Update(t.Context(), bigquery.TableMetadataToUpdate{Description: "two"}, before.ETag)
	wantRefusal(t, err, http.StatusPreconditionFailed, "conditionNotMet", "ETag")
	_, err = table.Update(t.Context(), bigquery.TableMetadataToUpdate{TimePartitioning: &bigquery.TimePartitioning{Field: "at"}}, "")
	wantRefusal(t, err, http.StatusBadRequest, "invalid", "partitioned")
}

func TestAViewKeepsItsQuery(t *testing.T) {
	t.Parallel()
	w := start(t)
	view := w.rest.Dataset("ci").Table("recent")
	if err := view.Create(t.Context(), &bigquery.TableMetadata{ViewQuery: "SELECT 1"}); err != nil {
		t.Fatal(err)
	}
	md, err := view.Update(t.Context(), bigquery.TableMetadataToUpdate{ViewQuery: "SELECT 2"}, "")
	if err != nil || md.ViewQuery != "SELECT 2" || md.Type != bigquery.ViewTable || md.UseLegacySQL {
		t.Errorf("%+v, %v", md, err)
	}
	if info, _ := w.Table("ci", "recent"); info.View == nil || info.View.Query != "SELECT 2" {
		t.Errorf("REST shows %+v", info)
	}
}

func TestTablesAreListedInPages(t *testing.T) {
	t.Parallel()
	w := start(t)
	var want, got []string
	for i := range 5 {
		id := fmt.Sprintf("t%d", i)
		want = append(want, id)
		if err := w.rest.Dataset("ci").Table(id).Create(t.Context(), &bigquery.TableMetadata{Schema: wide}); err != nil {
			t.Fatal(err)
		}
	}
	it := w.rest.Dataset("ci").Tables(t.Context())
	it.PageInfo().MaxSize = 2
	for {
		table, err := it.Next()
		if errors.Is(err, iterator.Done) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, table.TableID)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tables (-want +got):\n%s", diff)
	}
}

func TestRequestsAreAnsweredWithAGivenStatus(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.FailREST(http.StatusUnauthorized, 1)
	_, err := w.rest.Dataset("ci").Metadata(t.Context())
	wantRefusal(t, err, http.StatusUnauthorized, "authError", "")
	w.FailREST(http.StatusServiceUnavailable, 1) // the client tries again
	if _, err := w.rest.Dataset("ci").Metadata(t.Context()); err != nil {
		t.Error(err)
	}
	if n := w.Counts().FailedREST; n != 2 {
		t.Errorf("%d requests failed", n)
	}
}
