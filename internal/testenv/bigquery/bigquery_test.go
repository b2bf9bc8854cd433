package bigquery_test

import (
	"context"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"cloud.google.com/go/bigquery/storage/managedwriter"
	"cloud.google.com/go/bigquery/storage/managedwriter/adapt"
	"github.com/googleapis/gax-go/v2/apierror"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	fake "github.com/build-tracker/build-tracker/internal/testenv/bigquery"
)

// parent is the table that the tests write.
const parent = "projects/test/datasets/ci/tables/jobs"

// world is a stand-in with both of Google's clients and a dataset.
type world struct {
	*fake.Server
	rest   *bigquery.Client
	writer *managedwriter.Client
}

func start(t *testing.T) *world {
	t.Helper()
	return startWith(t, fake.Options{})
}

func startWith(t *testing.T, o fake.Options) *world {
	t.Helper()
	s, err := fake.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{Server: s}
	if w.rest, err = bigquery.NewClient(t.Context(), "test",
		option.WithEndpoint(s.URL()+"/bigquery/v2/"), option.WithoutAuthentication()); err != nil {
		t.Fatal(err)
	}
	// The client's own context: the test's ends before its cleanups.
	if w.writer, err = managedwriter.NewClient(context.Background(), "test",
		option.WithEndpoint(s.StorageAddr()), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
		option.WithGRPCDialOption(grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: time.Millisecond, Multiplier: 1.5, MaxDelay: 50 * time.Millisecond},
			MinConnectTimeout: 10 * time.Second,
		}))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = w.writer.Close() // its connections may have been cut
		_ = w.rest.Close()
	})
	if err := w.rest.Dataset("ci").Create(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) table(t *testing.T, schema bigquery.Schema) *bigquery.Table {
	t.Helper()
	table := w.rest.Dataset("ci").Table("jobs")
	if err := table.Create(t.Context(), &bigquery.TableMetadata{Schema: schema}); err != nil {
		t.Fatal(err)
	}
	return table
}

// encoder encodes rows as a writer's schema says.
type encoder struct {
	t       testing.TB
	message protoreflect.MessageDescriptor
}

func encode(t testing.TB, schema bigquery.Schema) encoder {
	t.Helper()
	stored, err := adapt.BQSchemaToStorageTableSchema(schema)
	if err != nil {
		t.Fatal(err)
	}
	d, err := adapt.StorageSchemaToProto2Descriptor(stored, "root")
	if err != nil {
		t.Fatal(err)
	}
	return encoder{t, d.(protoreflect.MessageDescriptor)}
}

func (e encoder) schema() *descriptorpb.DescriptorProto {
	e.t.Helper()
	d, err := adapt.NormalizeDescriptor(e.message)
	if err != nil {
		e.t.Fatal(err)
	}
	return d
}

// row encodes values by column; a []any is a repeated column, a map a RECORD.
func (e encoder) row(values map[string]any) []byte {
	e.t.Helper()
	b, err := proto.MarshalOptions{AllowPartial: true}.Marshal(fill(dynamicpb.NewMessage(e.message), values))
	if err != nil {
		e.t.Fatal(err)
	}
	return b
}

func fill(m *dynamicpb.Message, values map[string]any) *dynamicpb.Message {
	for name, v := range values {
		fd := m.Descriptor().Fields().ByName(protoreflect.Name(name))
		one := func(v any) protoreflect.Value {
			if inner, is := v.(map[string]any); is {
				return protoreflect.ValueOfMessage(fill(dynamicpb.NewMessage(fd.Message()), inner))
			}
			return protoreflect.ValueOf(v)
		}
		if many, is := v.([]any); is {
			list := m.Mutable(fd).List()
			for _, v := range many {
				list.Append(one(v))
			}
			continue
		}
		m.Set(fd, one(v))
	}
	return m
}

func (w *world) stream(t *testing.T, e encoder, o ...managedwriter.WriterOption) *managedwriter.ManagedStream {
	t.Helper()
	o = append([]managedwriter.WriterOption{
		managedwriter.WithDestinationTable(parent), managedwriter.WithSchemaDescriptor(e.schema()),
	}, o...)
	ms, err := w.writer.NewManagedStream(context.Background(), o...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ms.Close() }) // says EOF when all is well
	return ms
}

func committed() managedwriter.WriterOption {
	return managedwriter.WithType(managedwriter.CommittedStream)
}

// add appends rows and waits for the answer; at below 0 gives no offset.
func add(t *testing.T, ms *managedwriter.ManagedStream, at int64, rows ...[]byte) (*storagepb.AppendRowsResponse, error) {
	t.Helper()
	var o []managedwriter.AppendOption
	if at >= 0 {
		o = append(o, managedwriter.WithOffset(at))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	result, err := ms.AppendRows(ctx, rows, o...)
	if err != nil {
		return nil, err
	}
	return result.FullResponse(ctx)
}

// codeOf returns an error's gRPC code and BigQuery's own.
func codeOf(err error) (codes.Code, storagepb.StorageError_StorageErrorCode) {
	var own storagepb.StorageError
	api, is := apierror.FromError(err)
	if !is {
		return status.Code(err), 0
	}
	if api.Details().ExtractProtoMessage(&own) != nil {
		return api.GRPCStatus().Code(), 0
	}
	return api.GRPCStatus().Code(), own.GetCode()
}

func wantCode(t *testing.T, err error, code codes.Code, own storagepb.StorageError_StorageErrorCode) {
	t.Helper()
	if gotCode, gotOwn := codeOf(err); gotCode != code || gotOwn != own {
		t.Errorf("error %v: %v and %v, want %v and %v", err, gotCode, gotOwn, code, own)
	}
}
