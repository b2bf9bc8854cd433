package buildtracker

import (
	"fmt"
	"io"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/build-tracker/build-tracker/analytics"
)

// rowGroupBytes is about how much a row group has before it is compressed: what
// the writer of a file holds in memory.
const rowGroupBytes = 16 << 20

// parquetWriter writes Parquet, compressed with Zstandard. Columns that are not
// required are optional, times are TIMESTAMP in microseconds of UTC, a list of
// texts is a LIST, a record a group.
type parquetWriter struct {
	file    *parquet.GenericWriter[any]
	columns []analytics.Column
	row     parquet.Row
	bytes   int // of the row group
}

func newParquetWriter(to io.Writer, t *analytics.Table) *parquetWriter {
	schema := parquet.NewSchema(t.Name, parquetGroup(t.Columns))
	return &parquetWriter{
		columns: t.Columns,
		file:    parquet.NewGenericWriter[any](to, schema, parquet.Compression(&parquet.Zstd), parquet.CreatedBy("build-tracker", "", "")),
	}
}

// orderedGroup is a group whose fields are in the order of the columns, where the
// library's own are in the order of their names.
type orderedGroup struct {
	parquet.Group
	fields []parquet.Field
}

// Fields returns the fields, in order.
func (g orderedGroup) Fields() []parquet.Field { return g.fields }

func parquetGroup(columns []analytics.Column) parquet.Node {
	g := orderedGroup{Group: make(parquet.Group), fields: make([]parquet.Field, len(columns))}
	places := make(map[string]int)
	for i, c := range columns {
		places[c.Name] = i
		node := parquetNode(c)
		if !c.Required && c.Kind != analytics.Strings {
			node = parquet.Optional(node)
		}
		g.Group[c.Name] = node
	}
	for _, f := range g.Group.Fields() {
		g.fields[places[f.Name()]] = f
	}
	return g
}

func parquetNode(c analytics.Column) parquet.Node {
	switch c.Kind {
	case analytics.Integer:
		return parquet.Int(64)
	case analytics.Float:
		return parquet.Leaf(parquet.DoubleType)
	case analytics.Bool:
		return parquet.Leaf(parquet.BooleanType)
	case analytics.Time:
		return parquet.Timestamp(parquet.Microsecond)
	case analytics.Strings:
		return parquet.List(parquet.String())
	case analytics.Record:
		return parquetGroup(c.Columns)
	}
	return parquet.String()
}

func (w *parquetWriter) write(values []any) error {
	r := parquetRow{values: w.row[:0]}
	if err := r.add(w.columns, values, 0); err != nil {
		return err
	}
	w.row = r.values
	if _, err := w.file.WriteRows([]parquet.Row{w.row}); err != nil {
		return err
	}
	if w.bytes += r.bytes; w.bytes < rowGroupBytes {
		return nil
	}
	w.bytes = 0
	return w.file.Flush()
}

func (w *parquetWriter) end() error { return w.file.Close() }

// parquetRow is a row as Parquet stores it: a value for each leaf in the order of
// the schema, with the levels that say what of its path is there.
type parquetRow struct {
	values parquet.Row
	leaf   int
	bytes  int
}

// add appends the values of columns, whose group is there at a definition level.
func (r *parquetRow) add(columns []analytics.Column, values []any, level int) error {
	for i, c := range columns {
		here := level
		if !c.Required {
			here++
		}
		switch v := values[i].(type) {
		case nil:
			if c.Required {
				return fmt.Errorf("column %s is empty", c.Name)
			}
			r.addNull(c, level)
		case []any:
			if err := r.add(c.Columns, v, here); err != nil {
				return err
			}
		case []string:
			r.addList(v, level)
		default:
			value, err := parquetValue(c, v)
			if err != nil {
				return err
			}
			r.addLeaf(value, here)
			switch text := v.(type) {
			case string:
				r.bytes += len(text)
			case []byte:
				r.bytes += len(text)
			}
		}
	}
	return nil
}

func (r *parquetRow) addLeaf(v parquet.Value, level int) {
	r.values = append(r.values, v.Level(0, level, r.leaf))
	r.leaf++
	r.bytes += 8
}

// addNull says that all of a column is null.
func (r *parquetRow) addNull(c analytics.Column, level int) {
	if c.Kind != analytics.Record {
		r.addLeaf(parquet.NullValue(), level)
		return
	}
	for _, inner := range c.Columns {
		r.addNull(inner, level)
	}
}

// addList appends a list, which is never null.
func (r *parquetRow) addList(list []string, level int) {
	if len(list) == 0 {
		r.addLeaf(parquet.NullValue(), level)
		return
	}
	for i, text := range list {
		r.values = append(r.values, parquet.ByteArrayValue([]byte(text)).Level(min(i, 1), level+1, r.leaf))
		r.bytes += 8 + len(text)
	}
	r.leaf++
}

func parquetValue(c analytics.Column, value any) (parquet.Value, error) {
	switch v := value.(type) {
	case string:
		return parquet.ByteArrayValue([]byte(v)), nil
	case []byte:
		return parquet.ByteArrayValue(v), nil
	case int64:
		return parquet.Int64Value(v), nil
	case float64:
		return parquet.DoubleValue(v), nil
	case bool:
		return parquet.BooleanValue(v), nil
	case time.Time:
		return parquet.Int64Value(v.UnixMicro()), nil
	}
	return parquet.Value{}, fmt.Errorf("column %s is a %T", c.Name, value)
}
