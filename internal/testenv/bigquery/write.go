package bigquery

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// defaultStream ends the name of the stream that every table has.
const defaultStream = "/streams/_default"

// writeService is the Storage Write API.
type writeService struct {
	storagepb.UnimplementedBigQueryWriteServer
	s *Server
}

// storageError is an error with BigQuery's own code, if there is one, about an
// entity, as Google's clients read it.
func storageError(code codes.Code, own storagepb.StorageError_StorageErrorCode, entity, message string) error {
	st := status.New(code, message+" Entity: "+entity)
	if own == storagepb.StorageError_STORAGE_ERROR_CODE_UNSPECIFIED {
		return st.Err()
	}
	detailed, err := st.WithDetails(&storagepb.StorageError{Code: own, Entity: entity, ErrorMessage: message})
	if err != nil {
		return status.Errorf(codes.Internal, "describe %v: %v", own, err)
	}
	return detailed.Err()
}

// CreateWriteStream creates a COMMITTED stream.
func (w *writeService) CreateWriteStream(ctx context.Context, r *storagepb.CreateWriteStreamRequest) (*storagepb.WriteStream, error) {
	if err := w.s.beforeCall(ctx); err != nil {
		return nil, err
	}
	if typ := r.GetWriteStream().GetType(); typ != storagepb.WriteStream_COMMITTED {
		return nil, storageError(codes.InvalidArgument, storagepb.StorageError_INVALID_STREAM_TYPE, r.GetParent(),
			fmt.Sprintf("This stand-in has only COMMITTED streams, not %v.", typ))
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	t, err := w.s.writable(r.GetParent())
	if err != nil {
		return nil, err
	}
	w.s.nextStream++
	st := &stream{
		name: fmt.Sprintf("%s/streams/s%d", t.name, w.s.nextStream), number: w.s.nextStream,
		table: t, created: time.Now(),
	}
	w.s.streams[st.name] = st
	return describe(target{table: t, stream: st}, storagepb.WriteStreamView_FULL), nil
}

// GetWriteStream describes a stream, the default stream too.
func (w *writeService) GetWriteStream(ctx context.Context, r *storagepb.GetWriteStreamRequest) (*storagepb.WriteStream, error) {
	if err := w.s.beforeCall(ctx); err != nil {
		return nil, err
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	to, err := w.s.target(r.GetName())
	if err != nil {
		return nil, err
	}
	return describe(to, r.GetView()), nil
}

// FinalizeWriteStream lets no more rows into a stream that was created.
func (w *writeService) FinalizeWriteStream(ctx context.Context, r *storagepb.FinalizeWriteStreamRequest) (*storagepb.FinalizeWriteStreamResponse, error) {
	if err := w.s.beforeCall(ctx); err != nil {
		return nil, err
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	to, err := w.s.target(r.GetName())
	if err != nil {
		return nil, err
	}
	if to.stream == nil {
		return nil, storageError(codes.InvalidArgument, storagepb.StorageError_INVALID_STREAM_TYPE, r.GetName(), "The default stream cannot be finalized.")
	}
	to.stream.finalized = true
	return &storagepb.FinalizeWriteStreamResponse{RowCount: to.stream.end}, nil
}

// target is where rows go to: a table, and a stream unless it is the default.
type target struct {
	table  *table
	stream *stream
}

// target finds a stream by its name; s.mu is held.
func (s *Server) target(name string) (target, error) {
	if parent, is := strings.CutSuffix(name, defaultStream); is {
		t, err := s.writable(parent)
		return target{table: t}, err
	}
	parent, _, is := strings.Cut(name, "/streams/")
	if !is {
		return target{}, storageError(codes.InvalidArgument, 0, name, "The name of the stream is invalid.")
	}
	t, err := s.writable(parent)
	if err != nil {
		return target{}, err
	}
	st := s.streams[name]
	if st == nil {
		return target{}, storageError(codes.NotFound, storagepb.StorageError_STREAM_NOT_FOUND, name, "Requested stream not found.")
	}
	return target{table: t, stream: st}, nil
}

// writable finds a table that takes rows by its resource name; s.mu is held.
func (s *Server) writable(name string) (*table, error) {
	part := strings.Split(name, "/")
	if len(part) != 6 || part[0] != "projects" || part[2] != "datasets" || part[4] != "tables" {
		return nil, storageError(codes.InvalidArgument, 0, name, "The name of the table is invalid.")
	}
	t := s.table(part[3], part[5])
	if t == nil || part[1] != s.o.Project {
		return nil, storageError(codes.NotFound, storagepb.StorageError_TABLE_NOT_FOUND, name, "Requested table not found.")
	}
	if t.info.View != nil {
		return nil, storageError(codes.InvalidArgument, 0, name, "A view takes no rows.")
	}
	return t, nil
}

func describe(to target, view storagepb.WriteStreamView) *storagepb.WriteStream {
	out := &storagepb.WriteStream{
		Name: to.table.name + defaultStream, Type: storagepb.WriteStream_COMMITTED,
		WriteMode: storagepb.WriteStream_INSERT, Location: strings.ToLower(to.table.info.Location),
		CreateTime: timestamppb.New(to.table.created),
	}
	if to.stream != nil {
		out.Name, out.CreateTime = to.stream.name, timestamppb.New(to.stream.created)
	}
	out.CommitTime = out.CreateTime
	if view == storagepb.WriteStreamView_FULL {
		out.TableSchema = storageSchema(to.table.info.Schema)
	}
	return out
}

// storageTypes are the types' names in the Storage Write API.
var storageTypes = map[string]storagepb.TableFieldSchema_Type{
	"BOOLEAN":   storagepb.TableFieldSchema_BOOL,
	"BYTES":     storagepb.TableFieldSchema_BYTES,
	"DATE":      storagepb.TableFieldSchema_DATE,
	"FLOAT":     storagepb.TableFieldSchema_DOUBLE,
	"INTEGER":   storagepb.TableFieldSchema_INT64,
	"JSON":      storagepb.TableFieldSchema_JSON,
	typeRecord:  storagepb.TableFieldSchema_STRUCT,
	"STRING":    storagepb.TableFieldSchema_STRING,
	"TIMESTAMP": storagepb.TableFieldSchema_TIMESTAMP,
}

func storageSchema(schema *Schema) *storagepb.TableSchema {
	out := &storagepb.TableSchema{}
	if schema != nil {
		out.Fields = storageFields(schema.Fields)
	}
	return out
}

func storageFields(fields []Field) []*storagepb.TableFieldSchema {
	out := make([]*storagepb.TableFieldSchema, 0, len(fields))
	for _, f := range fields {
		out = append(out, &storagepb.TableFieldSchema{
			Name: f.Name, Description: f.Description, Type: storageTypes[f.Type],
			Mode:   storagepb.TableFieldSchema_Mode(storagepb.TableFieldSchema_Mode_value[f.Mode]),
			Fields: storageFields(f.Fields),
		})
	}
	return slices.Clip(out)
}
