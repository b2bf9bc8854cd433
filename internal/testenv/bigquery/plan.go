package bigquery

import (
	"fmt"
	"slices"
	"strings"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// plan is how messages of a writer's schema become rows of a table.
type plan struct {
	message protoreflect.MessageDescriptor
	record  record
}

// record are the columns of a table, or of a RECORD.
type record []column

type column struct {
	Field
	proto protoreflect.FieldDescriptor // nil where the writer has none
	inner record                       // of a RECORD
}

// kinds are what a type's values can be encoded as. BigQuery takes some more,
// which its clients do not use.
// https://cloud.google.com/bigquery/docs/supported-data-types
var kinds = map[string][]protoreflect.Kind{
	"BOOLEAN":   {protoreflect.BoolKind},
	"BYTES":     {protoreflect.BytesKind},
	"DATE":      {protoreflect.Int32Kind, protoreflect.Int64Kind},
	"FLOAT":     {protoreflect.DoubleKind, protoreflect.FloatKind},
	"INTEGER":   {protoreflect.Int64Kind, protoreflect.Int32Kind, protoreflect.Uint32Kind},
	"JSON":      {protoreflect.StringKind},
	typeRecord:  {protoreflect.MessageKind},
	"STRING":    {protoreflect.StringKind},
	"TIMESTAMP": {protoreflect.Int64Kind},
}

// newPlan matches a writer's schema with a table's by name. Each field of the
// writer's must be a column.
func newPlan(stream string, writer *descriptorpb.DescriptorProto, columns []Field) (*plan, error) {
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("writer.proto"), Syntax: proto.String("proto2"),
		MessageType: []*descriptorpb.DescriptorProto{writer},
	}, nil)
	if err != nil {
		return nil, storageError(codes.InvalidArgument, 0, stream, fmt.Sprintf("Invalid proto schema: %v", err))
	}
	p := &plan{message: file.Messages().Get(0)}
	var m matching
	p.record = m.match("", p.message, columns)
	switch {
	case len(m.extra) > 0:
		return nil, storageError(codes.InvalidArgument, storagepb.StorageError_SCHEMA_MISMATCH_EXTRA_FIELDS, stream,
			fmt.Sprintf("Input schema has more fields than BigQuery schema, extra fields: '%s'", strings.Join(m.extra, ",")))
	case len(m.wrong) > 0:
		return nil, storageError(codes.InvalidArgument, 0, stream,
			"The proto schema does not match the table: "+strings.Join(m.wrong, "; "))
	}
	return p, nil
}

// matching collects what does not match.
type matching struct {
	extra, wrong []string
}

func (m *matching) match(path string, message protoreflect.MessageDescriptor, columns []Field) record {
	out := make(record, 0, len(columns))
	for _, f := range columns {
		out = append(out, column{Field: f})
	}
	for i := range message.Fields().Len() {
		fd := message.Fields().Get(i)
		name := columnName(fd)
		at := slices.IndexFunc(out, func(c column) bool { return strings.EqualFold(c.Name, name) })
		if at < 0 {
			m.extra = append(m.extra, path+name)
			continue
		}
		c := &out[at]
		switch {
		case !slices.Contains(kinds[c.Type], fd.Kind()):
			m.wrong = append(m.wrong, fmt.Sprintf("field %s%s is %v, its column %s", path, name, fd.Kind(), c.Type))
			continue
		case fd.IsList() != (c.Mode == modeRepeated) || fd.IsMap():
			m.wrong = append(m.wrong, fmt.Sprintf("field %s%s is %v, its column %s", path, name, fd.Cardinality(), c.Mode))
			continue
		}
		c.proto = fd
		if c.Type == typeRecord {
			c.inner = m.match(path+name+".", fd.Message(), c.Fields)
		}
	}
	return out
}

// columnName is the annotated name, for columns whose name is none in proto.
func columnName(fd protoreflect.FieldDescriptor) string {
	if proto.HasExtension(fd.Options(), storagepb.E_ColumnName) {
		return proto.GetExtension(fd.Options(), storagepb.E_ColumnName).(string)
	}
	return string(fd.Name())
}
