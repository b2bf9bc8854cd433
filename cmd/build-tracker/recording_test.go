package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

func TestRecordingYieldsPayloadsAsTheyAre(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		text string
		want []string // LINE:BODY
	}{
		"nothing":             {"", nil},
		"white space":         {" \t\r\n\n ", nil},
		"a line each":         {"{\"a\":1}\n{\"b\": 2}\n", []string{`1:{"a":1}`, `2:{"b": 2}`}},
		"no end of line":      {"\n\n{}", []string{`3:{}`}},
		"over several lines":  {"{\n \"a\": [\n{} ]\r\n}\n{ }", []string{"1:{\n \"a\": [\n{} ]\r\n}", "5:{ }"}},
		"on one line":         {`{}{"a":{}} {}`, []string{`1:{}`, `1:{"a":{}}`, `1:{}`}},
		"brackets in strings": {`{"}":"{[\"}\\"}{}`, []string{`1:{"}":"{[\"}\\"}`, `1:{}`}},
		"brackets that cross": {"{\"a\": ]\n{}", []string{`1:{"a": ]`, `2:{}`}},
		"a string broken off": {"{\"a\": \"b\n{}", []string{"1:{\"a\": \"b\n", `2:{}`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRecording(t.Context(), "f", strings.NewReader(tc.text))
			var got []string
			for p, err := r.next(); !errors.Is(err, io.EOF); p, err = r.next() {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, fmt.Sprintf("%d:%s", p.line, p.body))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if r.read != int64(len(tc.text)) {
				t.Errorf("read %d bytes, want %d", r.read, len(tc.text))
			}
		})
	}
}

func TestRecordingSaysWhereItIsWrong(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ text, want string }{
		"a list":            {"{}\n [{}]", `f:2: a payload is a JSON object, and this begins with "["`},
		"a text":            {"\n\nhello", `f:3: a payload is a JSON object, and this begins with "h"`},
		"a compressed file": {"\x1f\x8b", `f:1: a payload is a JSON object, and this begins with "\x1f"`},
		"no end":            {"{}\n{\"a\":\n{}\n", "f:2: the payload that begins here does not end"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRecording(t.Context(), "f", strings.NewReader(tc.text))
			_, err := r.next()
			for err == nil {
				_, err = r.next()
			}
			if err.Error() != tc.want {
				t.Errorf("error %q, want %q", err, tc.want)
			}
		})
	}
}

func TestRefusedPayloadNamesTheWrongLine(t *testing.T) {
	t.Parallel()
	r := newRecording(t.Context(), "f", strings.NewReader("{}\n{\n\"a\": 1,\n\"b\" 2}\n"))
	if _, err := r.next(); err != nil {
		t.Fatal(err)
	}
	p, err := r.next()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := eventOf(p.body); err == nil || !strings.HasPrefix(p.refused(err).Error(), "f:4: ") {
		t.Errorf("error %v, want one for line 4", p.refused(err))
	}
	if got := p.refused(errors.New("no")).Error(); got != "f:2: no" {
		t.Errorf("error %q, want it for the line where the payload begins", got)
	}
}

func TestRecordingReadsNoMoreThanAServerTakes(t *testing.T) {
	t.Parallel()
	pad := func(n int) string { return `{"a":"` + strings.Repeat("x", n-len(`{"a":""}`)) + `"}` }
	rest := strings.NewReader(pad(maxPayload) + pad(maxPayload+1) + strings.Repeat("x", 1<<20))
	r := newRecording(t.Context(), "f", rest)
	p, err := r.next()
	if err != nil || len(p.body) != maxPayload {
		t.Fatalf("error %v for the largest payload", err)
	}
	if _, err = r.next(); err == nil || !strings.Contains(err.Error(), "f:1: the payload that begins here is longer than 5 MiB") {
		t.Errorf("error %v for one that is larger", err)
	}
	if rest.Len() == 0 {
		t.Error("all of it was read")
	}
}

func TestRecordingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		in, out := io.Pipe() // nothing comes
		defer out.Close()
		r := newRecording(ctx, "f", in)
		ended := make(chan error, 1)
		go func() {
			_, err := r.next()
			ended <- err
		}()
		synctest.Wait() // it reads
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want %v", err, context.Canceled)
		}
	})
}

// Whatever package json reads as a row of objects is read here to the byte.
func FuzzRecording(f *testing.F) {
	for _, seed := range []string{"", "{}\n{}", "{\"a\":\"\\\"}\"} {\n}", "{\"a\":[{}]}{\"b\":{}}[]", "{]{}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		want := json.NewDecoder(bytes.NewReader(text))
		r := newRecording(t.Context(), "f", bytes.NewReader(text))
		for {
			var value json.RawMessage
			err := want.Decode(&value)
			if err != nil && !errors.Is(err, io.EOF) || err == nil && value[0] != '{' {
				return
			}
			p, got := r.next()
			if (err == nil) != (got == nil) {
				t.Fatalf("error %v, want %v", got, err)
			}
			if err != nil {
				return
			}
			if !bytes.Equal(p.body, value) {
				t.Fatalf("payload %q, want %q", p.body, value)
			}
		}
	})
}
