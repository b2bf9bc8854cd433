package buildtracker

import (
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/bigquery/storage/managedwriter/adapt"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/build-tracker/build-tracker/analytics"
)

// bigQuerySchema is the schema of a table.
func bigQuerySchema(columns []analytics.Column) bigquery.Schema {
	schema := make(bigquery.Schema, len(columns))
	for i, c := range columns {
		f := &bigquery.FieldSchema{Name: c.Name, Description: c.Description, Required: c.Required}
		switch c.Kind {
		case analytics.String:
			f.Type = bigquery.StringFieldType
		case analytics.Strings:
			f.Type, f.Repeated = bigquery.StringFieldType, true
		case analytics.Integer:
			f.Type = bigquery.IntegerFieldType
		case analytics.Float:
			f.Type = bigquery.FloatFieldType
		case analytics.Bool:
			f.Type = bigquery.BooleanFieldType
		case analytics.Time:
			f.Type = bigquery.TimestampFieldType
		case analytics.Record:
			f.Type, f.Schema = bigquery.RecordFieldType, bigQuerySchema(c.Columns)
		}
		schema[i] = f
	}
	return schema
}

// rowEncoder writes the rows of a table as the messages that its descriptor
// describes.
type rowEncoder struct {
	descriptor *descriptorpb.DescriptorProto
	fields     messageFields
}

// messageFields are the fields of a message, by column.
type messageFields []messageField

type messageField struct {
	column  analytics.Column
	number  protowire.Number
	message messageFields // of a record
}

func newRowEncoder(t *analytics.Table) (*rowEncoder, error) {
	stored, err := adapt.BQSchemaToStorageTableSchema(bigQuerySchema(t.Columns))
	if err != nil {
		return nil, fmt.Errorf("schema of table %s: %w", t.Name, err)
	}
	d, err := adapt.StorageSchemaToProto2Descriptor(stored, t.Name)
	if err != nil {
		return nil, fmt.Errorf("message of table %s: %w", t.Name, err)
	}
	message, ok := d.(protoreflect.MessageDescriptor)
	if !ok {
		return nil, fmt.Errorf("message of table %s is a %T", t.Name, d)
	}
	e := &rowEncoder{fields: fieldsOf(message, t.Columns)}
	if e.descriptor, err = adapt.NormalizeDescriptor(message); err != nil {
		return nil, fmt.Errorf("descriptor of table %s: %w", t.Name, err)
	}
	return e, nil
}

func fieldsOf(message protoreflect.MessageDescriptor, columns []analytics.Column) messageFields {
	fields := make(messageFields, len(columns))
	for i, c := range columns {
		f := message.Fields().ByName(protoreflect.Name(c.Name))
		fields[i] = messageField{column: c, number: f.Number()}
		if c.Kind == analytics.Record {
			fields[i].message = fieldsOf(f.Message(), c.Columns)
		}
	}
	return fields
}

// maxBigQueryRow bounds a row, in bytes: a request holds 10 MB, and more than rows.
const maxBigQueryRow = 9_500_000

// encodedSize is about how many bytes a row's message has, and seldom less.
func encodedSize(values []any) int {
	size := 64
	for _, v := range values {
		switch v := v.(type) {
		case string:
			size += len(v)
		case []byte:
			size += len(v)
		}
		size += 10
	}
	return size
}

// encode appends a row's message to dst. The error says why BigQuery cannot hold it.
func (e *rowEncoder) encode(dst []byte, values []any) ([]byte, error) {
	before := len(dst)
	dst, err := e.fields.append(dst, values)
	if size := len(dst) - before; err == nil && size > maxBigQueryRow {
		err = fmt.Errorf("the row has %d bytes, and a row may have %d", size, maxBigQueryRow)
	}
	return dst, err
}

// The times that a TIMESTAMP holds.
var (
	firstTimestamp = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	lastTimestamp  = time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
)

func (fields messageFields) append(dst []byte, values []any) ([]byte, error) {
	var err error
	for i, f := range fields {
		switch v := values[i].(type) {
		case nil:
			if f.column.Required {
				return dst, fmt.Errorf("column %s is empty", f.column.Name)
			}
		case string:
			dst, err = f.appendString(dst, v)
		case []byte:
			if !utf8.Valid(v) {
				return dst, fmt.Errorf("column %s: %w", f.column.Name, errNotUTF8)
			}
			dst = protowire.AppendBytes(protowire.AppendTag(dst, f.number, protowire.BytesType), v)
		case []string:
			for _, s := range v {
				if dst, err = f.appendString(dst, s); err != nil {
					break
				}
			}
		case int64:
			dst = protowire.AppendVarint(protowire.AppendTag(dst, f.number, protowire.VarintType), uint64(v))
		case bool:
			dst = protowire.AppendVarint(protowire.AppendTag(dst, f.number, protowire.VarintType), protowire.EncodeBool(v))
		case float64:
			dst = protowire.AppendFixed64(protowire.AppendTag(dst, f.number, protowire.Fixed64Type), math.Float64bits(v))
		case time.Time:
			if v.Before(firstTimestamp) || v.After(lastTimestamp) {
				return dst, fmt.Errorf("column %s is the time %s, which is not between the years 1 and 9999", f.column.Name, v.Format(time.RFC3339))
			}
			dst = protowire.AppendVarint(protowire.AppendTag(dst, f.number, protowire.VarintType), uint64(v.UnixMicro()))
		case []any:
			var record []byte
			if record, err = f.message.append(nil, v); err == nil {
				dst = protowire.AppendBytes(protowire.AppendTag(dst, f.number, protowire.BytesType), record)
			}
		default:
			err = fmt.Errorf("column %s is a %T", f.column.Name, v)
		}
		if err != nil {
			return dst, err
		}
	}
	return dst, nil
}

var errNotUTF8 = errors.New("a text is no UTF-8")

func (f *messageField) appendString(dst []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return dst, fmt.Errorf("column %s: %w", f.column.Name, errNotUTF8)
	}
	return protowire.AppendString(protowire.AppendTag(dst, f.number, protowire.BytesType), s), nil
}
