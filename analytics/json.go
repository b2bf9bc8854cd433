package analytics

import (
	"encoding/json"
	"strconv"
	"time"
)

// AppendJSON appends the row as one JSON object, its columns in order, to dst.
func (r Row) AppendJSON(dst []byte) []byte { return appendObject(dst, r.Table.Columns, r.Values) }

func appendObject(dst []byte, columns []Column, values []any) []byte {
	dst = append(dst, '{')
	for i, c := range columns {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), c.Name...), '"', ':')
		dst = appendValue(dst, c, values[i])
	}
	return append(dst, '}')
}

func appendValue(dst []byte, c Column, value any) []byte {
	switch v := value.(type) {
	case nil:
		return append(dst, "null"...)
	case int64:
		return strconv.AppendInt(dst, v, 10)
	case bool:
		return strconv.AppendBool(dst, v)
	case time.Time:
		dst = append(dst, '"')
		return append(v.UTC().AppendFormat(dst, time.RFC3339Nano), '"')
	case []byte:
		value = string(v)
	case []any:
		return appendObject(dst, c.Columns, v)
	case []string:
		if v == nil {
			return append(dst, "[]"...)
		}
	}
	text, err := json.Marshal(value)
	if err != nil { // texts and finite numbers marshal
		panic(err)
	}
	return append(dst, text...)
}
