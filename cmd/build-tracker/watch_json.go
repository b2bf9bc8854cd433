package main

import (
	"bytes"
	"encoding/json"
)

// jsonView prints events as they came.
type jsonView struct {
	t      terminal
	escape bool // for a terminal
}

func (v *jsonView) event(_ *envelope, raw []byte) error {
	if bytes.ContainsAny(raw, "\r\n") { // between two values: within one they are escaped
		var one bytes.Buffer
		if err := json.Compact(&one, raw); err != nil {
			return err
		}
		raw = one.Bytes()
	}
	if v.escape {
		raw = harmlessJSON(raw)
	}
	_, err := v.t.stdout.Write(append(raw, '\n'))
	return err
}

func (*jsonView) refresh() error { return nil }

func (v *jsonView) news(text string) error { return v.t.news(text) }

func (*jsonView) end(string) error { return nil }
