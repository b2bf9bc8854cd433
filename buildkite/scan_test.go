package buildkite

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// Each is judged whole and cut off or spoiled at every byte.
var texts = []string{
	`{"event":"x","n":[1,-0,0.5,1e9,1E-2,-1.25e+3,[],{}],"s":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00 é"}`,
	"[true,false,null,\"\u007f\"]",
	` [ 1 , { "a" : "b" } ] `,
	`"text"`, `0`, `-`, `01`, `1.`, `.5`, `1e`, `+1`, `--1`, `0x1`, `nul`, `truee`, `Infinity`, `'a'`,
	`[1,]`, `[,1]`, `{"a":1,}`, `{,}`, `{"a"}`, `{"a":}`, `{1:2}`, `[1 2]`, `{"a":1 "b":2}`, `[`, `{`, `]`, `[}`, `{]`,
	`"\u12g4"`, `"\x"`, `"\u123`, `"\`, `"tab	"`, "\"\x00\"", "\"\x1f1234567890\"", "\"1234567\x1f\"", ``, ` `, `[] []`, "\ufeff{}", "[1]\v", "\u00a0[1]",
}

func TestScannerAgreesWithEncodingJSON(t *testing.T) {
	t.Parallel()
	judge := func(text string) {
		if got, want := valid(text), json.Valid([]byte(text)); got != want {
			t.Errorf("%q: valid is %v, want %v", text, got, want)
		}
	}
	for _, text := range texts {
		judge(text)
		for i := range text {
			judge(text[:i])
			for _, c := range []byte("\x00\x1f \"\\x0,:[]{}e-\x80") {
				judge(text[:i] + string([]byte{c}) + text[i+1:])
				judge(text[:i] + string([]byte{c}) + text[i:])
			}
		}
	}
}

func valid(text string) bool {
	_, err := redacted(text, Options{})
	return err == nil
}

func TestDepthIsBounded(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		depth int
		want  bool
	}{{maxDepth, true}, {maxDepth + 1, false}, {1 << 20, false}} {
		arrays := strings.Repeat("[", tt.depth) + strings.Repeat("]", tt.depth)
		objects := strings.Repeat(`{"env":`, tt.depth-1) + "{}" + strings.Repeat("}", tt.depth-1)
		mixed := `{"configuration":` + strings.Repeat("[", tt.depth-1) + strings.Repeat("]", tt.depth-1) + `}`
		for _, text := range []string{arrays, objects, mixed} {
			if got := valid(text); got != tt.want {
				t.Errorf("depth %d: valid is %v (%.20s)", tt.depth, got, text)
			}
		}
	}
	// It is depth that is bounded, not length.
	if !valid("[" + strings.Repeat("[],{},", 10_000) + "0]") {
		t.Error("a long array is refused")
	}
}

func TestParseErrorSaysWhere(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		body   string
		offset int
	}{
		{``, 0},
		{` []`, 1},
		{`{"a":tru}`, 5},
		{`{"a":1}}`, 7},
		{`{"a":"b`, 7},
		{`{"a":"\q"}`, 6},
		{`{"a":` + strings.Repeat("[", 1000), 5 + maxDepth - 1},
	} {
		_, err := Parse([]byte(tt.body), Options{})
		var parse *ParseError
		if !errors.As(err, &parse) || parse.Offset != tt.offset {
			t.Errorf("%.20q: %v at %v, want offset %d", tt.body, err, parse, tt.offset)
		}
	}
}
