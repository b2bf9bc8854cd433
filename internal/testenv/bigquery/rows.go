package bigquery

import (
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// What a DATE can be, in days since 1970-01-01, and a TIMESTAMP in microseconds:
// the years 1 to 9999.
const (
	minDate      = -719162
	maxDate      = 2932896
	minTimestamp = -62135596800_000000
	maxTimestamp = 253402300799_999999
)

// decode returns the row of an encoded message, or why it is none.
func (p *plan) decode(encoded []byte) (Row, error) {
	m := dynamicpb.NewMessage(p.message)
	if err := proto.Unmarshal(encoded, m); err != nil {
		return nil, fmt.Errorf("Failed to parse the row: %w", err)
	}
	return p.record.decode("", m)
}

func (r record) decode(path string, m protoreflect.Message) (Row, error) {
	if unknown := m.GetUnknown(); len(unknown) > 0 {
		return nil, fmt.Errorf("Row has a field at %q that the writer's schema does not have, or with another type", path)
	}
	row := make(Row)
	for _, c := range r {
		v, err := c.decode(path, m)
		if err != nil {
			return nil, err
		}
		if v != nil {
			row[c.Name] = v
		}
	}
	return row, nil
}

// decode returns nil for NULL.
func (c column) decode(path string, m protoreflect.Message) (any, error) {
	path += c.Name
	if c.proto == nil || !m.Has(c.proto) && !c.proto.HasDefault() {
		if c.Mode == modeRequired {
			return nil, fmt.Errorf("Field %s: is REQUIRED, but missing", path)
		}
		return nil, nil
	}
	if c.Mode != modeRepeated {
		return c.value(path, m.Get(c.proto))
	}
	list := m.Get(c.proto).List()
	out := make([]any, 0, list.Len())
	for i := range list.Len() {
		v, err := c.value(fmt.Sprintf("%s[%d]", path, i), list.Get(i))
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func (c column) value(path string, v protoreflect.Value) (any, error) {
	switch c.Type {
	case "BOOLEAN":
		return v.Bool(), nil
	case "BYTES":
		return v.Bytes(), nil
	case "DATE":
		days := v.Int()
		if days < minDate || days > maxDate {
			return nil, fmt.Errorf("Field %s: DATE %d is out of range, %d to %d", path, days, minDate, maxDate)
		}
		return time.Unix(days*24*60*60, 0).UTC().Format(time.DateOnly), nil
	case "FLOAT":
		return v.Float(), nil
	case "INTEGER":
		if c.proto.Kind() == protoreflect.Uint32Kind {
			return int64(v.Uint()), nil
		}
		return v.Int(), nil
	case "JSON", "STRING":
		return c.text(path, v.String())
	case typeRecord:
		return c.inner.decode(path+".", v.Message())
	case "TIMESTAMP":
		micros := v.Int()
		if micros < minTimestamp || micros > maxTimestamp {
			return nil, fmt.Errorf("Field %s: TIMESTAMP %d is out of range, %d to %d", path, micros, int64(minTimestamp), int64(maxTimestamp))
		}
		return time.UnixMicro(micros).UTC(), nil
	}
	return nil, fmt.Errorf("Field %s: no values of type %s are known", path, c.Type)
}

func (c column) text(path, text string) (any, error) {
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("Field %s: %s is not valid UTF-8", path, c.Type)
	}
	if c.Type == "JSON" && !json.Valid([]byte(text)) {
		return nil, fmt.Errorf("Field %s: is not valid JSON", path)
	}
	return text, nil
}
