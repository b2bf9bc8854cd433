package db

import "fmt"

// repeated is a text that is the same in many rows: they share it. NULL is empty.
type repeated string

// ScanBytes is pgtype.BytesScanner.
func (r *repeated) ScanBytes(text []byte) error {
	if string(*r) != string(text) {
		*r = repeated(text)
	}
	return nil
}

// Scan is sql.Scanner.
func (r *repeated) Scan(value any) error {
	switch v := value.(type) {
	case nil:
		*r = ""
	case string:
		if string(*r) != v {
			*r = repeated(v)
		}
	case []byte:
		return r.ScanBytes(v)
	default:
		return fmt.Errorf("a text is a %T", value)
	}
	return nil
}
