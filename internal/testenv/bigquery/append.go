package bigquery

import (
	"context"
	"errors"
	"fmt"
	"io"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	// maxAppend is how long an append may be, in bytes.
	// https://cloud.google.com/bigquery/quotas#write-api-limits
	maxAppend = 10_000_000
	// maxRowErrors is how many rows of an append are told to be wrong at once.
	maxRowErrors = 100
)

// connection is a call of AppendRows: what later requests may leave out.
type connection struct {
	s       *Server
	stream  string
	writer  *descriptorpb.DescriptorProto
	plan    *plan
	planned *Schema            // of the table, when the plan was made
	schemas map[*table]*Schema // those that the client can know of
}

// AppendRows takes rows until the client ends or a request ends the call.
// Errors of rows and of offsets are in the answer, and the call goes on.
func (w *writeService) AppendRows(call storagepb.BigQueryWrite_AppendRowsServer) error {
	c := &connection{s: w.s, schemas: make(map[*table]*Schema)}
	for {
		r, err := call.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		answer, err := c.append(call.Context(), r)
		if err != nil {
			return err
		}
		answer.WriteStream = c.stream
		if err := call.Send(answer); err != nil {
			return err
		}
	}
}

// append returns the answer, or the error that the call ends with.
func (c *connection) append(ctx context.Context, r *storagepb.AppendRowsRequest) (*storagepb.AppendRowsResponse, error) {
	if err := c.s.beforeCall(ctx); err != nil {
		return nil, err
	}
	if err := c.s.beforeAppend(ctx); err != nil {
		return nil, err
	}
	to, schema, err := c.open(r)
	if err != nil {
		return nil, err
	}
	if err := c.s.failAppend(); err != nil {
		return refuse(err), nil
	}
	if size := proto.Size(r); size > maxAppend {
		return refuse(storageError(codes.InvalidArgument, 0, c.stream,
			fmt.Sprintf("AppendRows request too large: %d limit %d", size, maxAppend))), nil
	}
	b, wrong := c.decode(to, r.GetProtoRows().GetRows().GetSerializedRows())
	if len(wrong) > 0 {
		answer := refuse(storageError(codes.InvalidArgument, 0, c.stream,
			"Errors found while processing rows. Please refer to the row_errors field for details. The list may not be complete because of the size limitations."))
		answer.RowErrors = wrong
		return answer, nil
	}
	offset, err := c.s.store(c.stream, to, r.GetOffset(), b)
	if err != nil {
		return refuse(err), nil
	}
	if c.s.dropAfter() {
		return nil, c.s.dropClient(ctx)
	}
	result := &storagepb.AppendRowsResponse_AppendResult{Offset: offset}
	answer := &storagepb.AppendRowsResponse{Response: &storagepb.AppendRowsResponse_AppendResult_{AppendResult: result}}
	if c.schemas[to.table] != schema {
		c.schemas[to.table] = schema
		answer.UpdatedSchema = storageSchema(schema)
	}
	return answer, nil
}

// refuse is an answer with an error.
func refuse(err error) *storagepb.AppendRowsResponse {
	return &storagepb.AppendRowsResponse{Response: &storagepb.AppendRowsResponse_Error{Error: status.Convert(err).Proto()}}
}

// open finds where a request's rows go to and makes the plan for them. It
// returns the table's schema at this moment.
func (c *connection) open(r *storagepb.AppendRowsRequest) (target, *Schema, error) {
	moved := r.GetWriteStream() != "" && r.GetWriteStream() != c.stream
	if moved {
		c.stream = r.GetWriteStream()
	}
	if c.stream == "" {
		return target{}, nil, storageError(codes.InvalidArgument, 0, "", "The first request of a connection must name a stream.")
	}
	to, schema, err := c.s.find(c.stream)
	if err != nil {
		return target{}, nil, err
	}
	if _, known := c.schemas[to.table]; !known {
		c.schemas[to.table] = schema
	}
	switch {
	case r.GetArrowRows() != nil || r.GetProtoRows() == nil:
		return target{}, nil, storageError(codes.InvalidArgument, 0, c.stream, "This stand-in takes only proto rows.")
	case len(r.GetProtoRows().GetRows().GetSerializedRows()) == 0:
		return target{}, nil, storageError(codes.InvalidArgument, 0, c.stream, "The request has no rows.")
	case r.GetOffset() != nil && to.stream == nil:
		return target{}, nil, storageError(codes.InvalidArgument, 0, c.stream, "The default stream takes no offset.")
	}
	return to, schema, c.replan(to, schema, r.GetProtoRows().GetWriterSchema().GetProtoDescriptor(), moved)
}

// find returns a stream's target and its table's schema at this moment.
func (s *Server) find(stream string) (target, *Schema, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	to, err := s.target(stream)
	if err != nil {
		return target{}, nil, err
	}
	return to, to.table.info.Schema, nil
}

// replan makes the plan anew where the writer's schema or the table's changed.
// A connection to a stream that was created keeps the writer's schema that it
// began with, as BigQuery does; to write another, connect again.
func (c *connection) replan(to target, schema *Schema, writer *descriptorpb.DescriptorProto, moved bool) error {
	fresh := writer != nil && (moved || c.writer == nil || to.stream == nil && !proto.Equal(writer, c.writer))
	if fresh {
		c.writer = writer
	} else if moved || c.writer == nil {
		return storageError(codes.InvalidArgument, 0, c.stream, "The first request to a stream must have the writer's schema.")
	}
	if !fresh && c.planned == schema {
		return nil
	}
	var columns []Field
	if schema != nil {
		columns = schema.Fields
	}
	p, err := newPlan(c.stream, c.writer, columns)
	if err != nil {
		return err
	}
	c.plan, c.planned = p, schema
	return nil
}

// batch is what is stored at once.
type batch struct {
	rows  []Row
	bytes int64
}

func (c *connection) decode(to target, encoded [][]byte) (batch, []*storagepb.RowError) {
	reject, id := c.s.rejects(), to.table.info.Reference.TableID
	b := batch{rows: make([]Row, 0, len(encoded))}
	var wrong []*storagepb.RowError
	for i, e := range encoded {
		row, err := c.plan.decode(e)
		if err == nil && reject != nil {
			err = c.s.rejected(reject(id, row))
		}
		if err != nil {
			wrong = append(wrong, &storagepb.RowError{Index: int64(i), Code: storagepb.RowError_FIELDS_ERROR, Message: err.Error()})
			if len(wrong) == maxRowErrors {
				break
			}
			continue
		}
		b.rows, b.bytes = append(b.rows, row), b.bytes+int64(len(e))
	}
	return b, wrong
}

// store appends rows at an offset, or at the end for nil, and returns where, or
// nil for the default stream. to is what the stream was when the rows were read.
func (s *Server) store(name string, to target, at *wrapperspb.Int64Value, b batch) (*wrapperspb.Int64Value, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, err := s.target(name)
	if err != nil {
		return nil, err
	}
	if now != to {
		return nil, storageError(codes.NotFound, storagepb.StorageError_STREAM_NOT_FOUND, name, "The stream was lost on the way.")
	}
	var offset *wrapperspb.Int64Value
	if st := to.stream; st != nil {
		if st.finalized || at != nil && at.GetValue() != st.end {
			s.counts.Misplaced++
		}
		switch {
		case st.finalized:
			return nil, storageError(codes.InvalidArgument, storagepb.StorageError_STREAM_FINALIZED, st.name, "Stream has been finalized and takes no more rows.")
		case at != nil && at.GetValue() < st.end:
			return nil, storageError(codes.AlreadyExists, storagepb.StorageError_OFFSET_ALREADY_EXISTS, st.name,
				fmt.Sprintf("The offset is within stream, expected offset %d, received %d", st.end, at.GetValue()))
		case at != nil && at.GetValue() > st.end:
			return nil, storageError(codes.OutOfRange, storagepb.StorageError_OFFSET_OUT_OF_RANGE, st.name,
				fmt.Sprintf("The offset is beyond stream, expected offset %d, received %d", st.end, at.GetValue()))
		}
		offset = wrapperspb.Int64(st.end)
		st.end += int64(len(b.rows))
	}
	if !s.o.Discard {
		to.table.rows = append(to.table.rows, b.rows...)
	}
	to.table.numRows += int64(len(b.rows))
	to.table.bytes += b.bytes
	s.counts.Appends++
	s.counts.Rows += int64(len(b.rows))
	s.counts.Bytes += b.bytes
	return offset, nil
}
