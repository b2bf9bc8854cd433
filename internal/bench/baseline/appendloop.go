package baseline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/bigquery/storage/managedwriter"
	"cloud.google.com/go/bigquery/storage/managedwriter/adapt"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/build-tracker/build-tracker/analytics"
)

// AppendLoopOptions say where the emulator of BigQuery is.
type AppendLoopOptions struct {
	REST    string // http://HOST:PORT
	Storage string // host:port
}

// appendLoopRows is how many rows the loop appends at once.
const appendLoopRows = 500

// AppendLoop is what a program does that only appends: messages that it has in
// memory are encoded and go to one stream a table, each request before the last was
// answered. It keeps nothing for after a crash.
type AppendLoop struct {
	rest    *bigquery.Client
	write   *managedwriter.Client
	streams []*managedwriter.ManagedStream
	// requests are in the order of their events.
	requests []appendLoopRequest
}

type appendLoopRequest struct {
	stream *managedwriter.ManagedStream
	rows   []proto.Message
}

// NewAppendLoop makes the tables, with a stream each, and the messages.
func NewAppendLoop(ctx context.Context, o AppendLoopOptions, rows []analytics.Row) (_ *AppendLoop, err error) {
	l := new(AppendLoop)
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if l.rest, err = bigquery.NewClient(ctx, "test", option.WithEndpoint(o.REST+"/bigquery/v2/"), option.WithoutAuthentication()); err != nil {
		return nil, err
	}
	if l.write, err = managedwriter.NewClient(ctx, "test", option.WithEndpoint(o.Storage), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials()))); err != nil {
		return nil, err
	}
	dataset := l.rest.Dataset("ci")
	if err := dataset.Create(ctx, nil); err != nil {
		return nil, err
	}
	type filling struct {
		message protoreflect.MessageDescriptor
		stream  *managedwriter.ManagedStream
		rows    []proto.Message
	}
	tables := make(map[*analytics.Table]*filling)
	for _, t := range analytics.Tables() {
		schema := plainSchema(t.Columns)
		if err := dataset.Table(t.Name).Create(ctx, &bigquery.TableMetadata{Schema: schema}); err != nil {
			return nil, err
		}
		stored, err := adapt.BQSchemaToStorageTableSchema(schema)
		if err != nil {
			return nil, err
		}
		d, err := adapt.StorageSchemaToProto2Descriptor(stored, t.Name)
		if err != nil {
			return nil, err
		}
		f := &filling{message: d.(protoreflect.MessageDescriptor)}
		normal, err := adapt.NormalizeDescriptor(f.message)
		if err != nil {
			return nil, err
		}
		if f.stream, err = l.write.NewManagedStream(ctx, managedwriter.WithSchemaDescriptor(normal), managedwriter.WithType(managedwriter.CommittedStream),
			managedwriter.WithDestinationTable(managedwriter.TableParentFromParts("test", "ci", t.Name))); err != nil {
			return nil, err
		}
		l.streams = append(l.streams, f.stream)
		tables[t] = f
	}
	flush := func(f *filling) {
		if len(f.rows) > 0 {
			l.requests = append(l.requests, appendLoopRequest{f.stream, f.rows})
			f.rows = nil
		}
	}
	for _, r := range rows {
		f := tables[r.Table]
		if f.rows = append(f.rows, messageOf(f.message, r.Table.Columns, r.Values)); len(f.rows) == appendLoopRows {
			flush(f)
		}
	}
	for _, t := range analytics.Tables() {
		flush(tables[t])
	}
	return l, nil
}

func plainSchema(columns []analytics.Column) bigquery.Schema {
	types := map[analytics.Kind]bigquery.FieldType{
		analytics.String: bigquery.StringFieldType, analytics.Strings: bigquery.StringFieldType, analytics.Integer: bigquery.IntegerFieldType,
		analytics.Float: bigquery.FloatFieldType, analytics.Bool: bigquery.BooleanFieldType, analytics.Time: bigquery.TimestampFieldType,
		analytics.Record: bigquery.RecordFieldType,
	}
	var schema bigquery.Schema
	for _, c := range columns {
		schema = append(schema, &bigquery.FieldSchema{
			Name: c.Name, Type: types[c.Kind], Repeated: c.Kind == analytics.Strings, Schema: plainSchema(c.Columns),
		})
	}
	return schema
}

func messageOf(d protoreflect.MessageDescriptor, columns []analytics.Column, values []any) *dynamicpb.Message {
	m := dynamicpb.NewMessage(d)
	for i, c := range columns {
		field := d.Fields().ByName(protoreflect.Name(c.Name))
		switch v := values[i].(type) {
		case nil:
		case []string:
			for _, s := range v {
				m.Mutable(field).List().Append(protoreflect.ValueOfString(s))
			}
		case []byte:
			m.Set(field, protoreflect.ValueOfString(string(v)))
		case []any:
			m.Set(field, protoreflect.ValueOfMessage(messageOf(field.Message(), c.Columns, v)))
		case time.Time:
			m.Set(field, protoreflect.ValueOfInt64(v.UnixMicro()))
		default:
			m.Set(field, protoreflect.ValueOf(v))
		}
	}
	return m
}

// Run appends all rows and returns when the last was confirmed.
func (l *AppendLoop) Run(ctx context.Context) error {
	offsets := make(map[*managedwriter.ManagedStream]int64)
	results := make([]*managedwriter.AppendResult, 0, len(l.requests))
	for _, r := range l.requests {
		rows := make([][]byte, len(r.rows))
		for i, m := range r.rows {
			row, err := proto.Marshal(m)
			if err != nil {
				return fmt.Errorf("encode a row: %w", err)
			}
			rows[i] = row
		}
		result, err := r.stream.AppendRows(ctx, rows, managedwriter.WithOffset(offsets[r.stream]))
		if err != nil {
			return fmt.Errorf("append rows: %w", err)
		}
		offsets[r.stream] += int64(len(r.rows))
		results = append(results, result)
	}
	for _, result := range results {
		if _, err := result.GetResult(ctx); err != nil {
			return fmt.Errorf("append rows: %w", err)
		}
	}
	return nil
}

// Close releases the clients.
func (l *AppendLoop) Close() error {
	for _, s := range l.streams {
		_ = s.Close() // always an error: it says that it is closed
	}
	var errs []error
	if l.write != nil {
		errs = append(errs, l.write.Close())
	}
	if l.rest != nil {
		errs = append(errs, l.rest.Close())
	}
	return errors.Join(errs...)
}
