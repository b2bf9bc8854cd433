package bigquery_test

import (
	"context"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	storage "cloud.google.com/go/bigquery/storage/apiv1"
	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/descriptorpb"
)

// call is a connection by the plain client, which sends what it is told to.
func (w *world) call(t *testing.T) storagepb.BigQueryWrite_AppendRowsClient {
	t.Helper()
	c, err := storage.NewBigQueryWriteClient(t.Context(), option.WithEndpoint(w.StorageAddr()), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // the connection may have been cut
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	call, err := c.AppendRows(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return call
}

// send is one request and its answer; name and schema can be left out.
func send(t *testing.T, call storagepb.BigQueryWrite_AppendRowsClient, name string, schema *descriptorpb.DescriptorProto, row []byte) (*storagepb.AppendRowsResponse, error) {
	t.Helper()
	data := &storagepb.AppendRowsRequest_ProtoData{Rows: &storagepb.ProtoRows{SerializedRows: [][]byte{row}}}
	if schema != nil {
		data.WriterSchema = &storagepb.ProtoSchema{ProtoDescriptor: schema}
	}
	if err := call.Send(&storagepb.AppendRowsRequest{WriteStream: name, Rows: &storagepb.AppendRowsRequest_ProtoRows{ProtoRows: data}}); err != nil {
		t.Fatal(err)
	}
	return call.Recv()
}

func TestLaterRequestsLeaveOutStreamAndSchema(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.table(t, simple)
	e := encode(t, simple)
	row := e.row(map[string]any{"id": "a"})
	for _, c := range []struct {
		name   string
		stream string
		schema *descriptorpb.DescriptorProto
	}{
		{"neither", "", nil}, {"no stream", "", e.schema()}, {"no schema", parent + "/streams/_default", nil},
	} {
		if _, err := send(t, w.call(t), c.stream, c.schema, row); status.Code(err) != codes.InvalidArgument {
			t.Errorf("first request with %s: %v", c.name, err)
		}
	}
	call := w.call(t)
	for i, c := range []struct {
		stream string
		schema *descriptorpb.DescriptorProto
	}{{parent + "/streams/_default", e.schema()}, {"", nil}, {parent + "/streams/_default", nil}} {
		answer, err := send(t, call, c.stream, c.schema, row)
		if err != nil || answer.GetError() != nil || answer.GetWriteStream() != parent+"/streams/_default" || answer.GetAppendResult().GetOffset() != nil {
			t.Errorf("request %d: %v, %v", i, answer, err)
		}
	}
}

func TestOnlyTheDefaultStreamTakesANewSchemaOnItsConnection(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.table(t, simple)
	e, more := encode(t, simple[:1]), encode(t, simple)
	row := more.row(map[string]any{"id": "a", "seconds": int64(3)})
	for name, taken := range map[string]bool{
		parent + "/streams/_default":             true,
		w.stream(t, e, committed()).StreamName(): false,
	} {
		call := w.call(t)
		if answer, err := send(t, call, name, e.schema(), e.row(map[string]any{"id": "a"})); err != nil || answer.GetError() != nil {
			t.Fatal(answer, err)
		}
		answer, err := send(t, call, name, more.schema(), row)
		if err != nil || (len(answer.GetRowErrors()) == 0) != taken {
			t.Errorf("%s: %v, %v; taken should be %t", name, answer, err, taken)
		}
	}
}

func TestRequiredColumnsAreNeededWithinRecordsToo(t *testing.T) {
	t.Parallel()
	w := start(t)
	step := func(required bool) bigquery.Schema {
		return bigquery.Schema{{Name: "step", Type: bigquery.RecordFieldType, Schema: bigquery.Schema{
			{Name: "name", Type: bigquery.StringFieldType, Required: required},
		}}}
	}
	w.table(t, step(true))
	e := encode(t, step(false))
	ms := w.stream(t, e)
	answer, err := add(t, ms, -1, e.row(map[string]any{"step": map[string]any{}}))
	wantCode(t, err, codes.InvalidArgument, 0)
	if wrong := answer.GetRowErrors(); len(wrong) != 1 || wrong[0].GetMessage() != "Field step.name: is REQUIRED, but missing" {
		t.Errorf("row errors %v", wrong)
	}
	if _, err := add(t, ms, -1, e.row(nil)); err != nil {
		t.Errorf("the RECORD itself may be NULL: %v", err)
	}
}
