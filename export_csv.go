package buildtracker

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/build-tracker/build-tracker/analytics"
)

// csvWriter writes comma-separated values (RFC 4180) with a header. A record is a
// column for each of its own, a list is JSON text, null is nothing, and an empty
// text is "". A text is as it came, whatever a spreadsheet would make of it.
//
// encoding/csv, told to end lines as the RFC says, changes the line ends in texts.
type csvWriter struct {
	to      io.Writer
	columns []analytics.Column
	line    []byte
}

func newCSVWriter(to io.Writer, t *analytics.Table) (*csvWriter, error) {
	w := &csvWriter{to: to, columns: t.Columns, line: appendCSVHeader(nil, "", t.Columns)}
	return w, w.endLine()
}

func (w *csvWriter) write(values []any) (err error) {
	if w.line, err = appendCSV(w.line[:0], w.columns, values); err != nil {
		return err
	}
	return w.endLine()
}

// endLine writes the line, without the comma at its end.
func (w *csvWriter) endLine() error {
	w.line = append(w.line[:len(w.line)-1], "\r\n"...)
	_, err := w.to.Write(w.line)
	return err
}

func (*csvWriter) end() error { return nil }

// appendCSVHeader appends the names of columns, each with a comma behind it.
func appendCSVHeader(dst []byte, prefix string, columns []analytics.Column) []byte {
	for _, c := range columns {
		if c.Kind == analytics.Record {
			dst = appendCSVHeader(dst, prefix+c.Name+".", c.Columns)
			continue
		}
		dst = append(appendCSVText(dst, prefix+c.Name), ',')
	}
	return dst
}

// appendCSV appends the values of columns, each with a comma behind it.
func appendCSV(dst []byte, columns []analytics.Column, values []any) ([]byte, error) {
	for i, c := range columns {
		if c.Kind == analytics.Record {
			record, ok := values[i].([]any)
			if !ok {
				record = make([]any, len(c.Columns))
			}
			var err error
			if dst, err = appendCSV(dst, c.Columns, record); err != nil {
				return nil, err
			}
			continue
		}
		switch v := values[i].(type) {
		case nil:
		case string:
			dst = appendCSVText(dst, v)
		case []byte:
			dst = appendCSVText(dst, v)
		case int64:
			dst = strconv.AppendInt(dst, v, 10)
		case float64:
			dst = strconv.AppendFloat(dst, v, 'f', -1, 64)
		case bool:
			dst = strconv.AppendBool(dst, v)
		case time.Time:
			dst = v.UTC().AppendFormat(dst, time.RFC3339Nano)
		case []string:
			text, err := json.Marshal(append([]string{}, v...)) // [] for none
			if err != nil {
				return nil, err
			}
			dst = appendCSVText(dst, string(text))
		default:
			return nil, fmt.Errorf("column %s is a %T", c.Name, v)
		}
		dst = append(dst, ',')
	}
	return dst, nil
}

func appendCSVText[T string | []byte](dst []byte, text T) []byte {
	begin := len(dst)
	dst = append(dst, '"')
	quoted := len(text) == 0
	for i := range len(text) {
		switch text[i] {
		case '"':
			quoted = true
			dst = append(dst, '"')
		case ',', '\r', '\n':
			quoted = true
		}
		dst = append(dst, text[i])
	}
	if !quoted {
		return append(dst[:begin], dst[begin+1:]...)
	}
	return append(dst, '"')
}
