package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxPayload is the largest delivery that a server takes, in bytes.
const maxPayload = 5 << 20

// recording reads payloads from a file: JSON objects, one after the other, with
// any white space around them. It holds one payload at a time.
type recording struct {
	name string
	in   *bufio.Reader
	line int   // of the next byte, from 1
	read int64 // in bytes
	buf  []byte
}

// payload is a recorded delivery.
type payload struct {
	body []byte // as it is in the file; valid until the next one is read
	name string // the file's
	line int    // where it begins, from 1
}

func newRecording(ctx context.Context, name string, in io.Reader) *recording {
	return &recording{name: name, in: bufio.NewReaderSize(&interruptible{ctx: ctx, in: in}, 64<<10), line: 1}
}

// next returns the next payload, and io.EOF after the last. It looks no closer
// than it takes to find the end: what it returns may be no JSON.
func (r *recording) next() (*payload, error) {
	c, err := r.space()
	if err != nil {
		return nil, err
	}
	p := &payload{name: r.name, line: r.line}
	if c != '{' {
		return nil, p.errorf("a payload is a JSON object, and this begins with %q", []byte{c})
	}
	r.buf = append(r.buf[:0], c)
	text, escaped := false, false
	for depth := 1; depth > 0; {
		if len(r.buf) == maxPayload {
			return nil, p.errorf("the payload that begins here is longer than 5 MiB, which no server takes")
		}
		if c, err = r.byte(); err != nil {
			if errors.Is(err, io.EOF) {
				return nil, p.errorf("the payload that begins here does not end")
			}
			return nil, err
		}
		r.buf = append(r.buf, c)
		switch {
		case escaped:
			escaped = false
		case text:
			if c < ' ' { // no string goes on after this; the payload is no JSON
				depth = 0
			}
			escaped, text = c == '\\', c != '"'
		case c == '"':
			text = true
		case c == '{', c == '[':
			depth++
		case c == '}', c == ']':
			depth--
		}
	}
	p.body = r.buf
	return p, nil
}

// space skips white space and returns the byte after it.
func (r *recording) space() (byte, error) {
	for {
		c, err := r.byte()
		if err != nil || c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return c, err
		}
	}
}

func (r *recording) byte() (byte, error) {
	c, err := r.in.ReadByte()
	if err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) {
			return 0, err
		}
		return 0, fmt.Errorf("%s:%d: %w", r.name, r.line, err)
	}
	r.read++
	if c == '\n' {
		r.line++
	}
	return c, nil
}

// errorf returns an error that begins with where the payload does.
func (p *payload) errorf(format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", p.name, p.line, fmt.Errorf(format, args...))
}

// refused says which payload was not sent and why; where it is no JSON, the
// line is the one that is wrong.
func (p *payload) refused(err error) error {
	line := p.line
	if syntax := new(json.SyntaxError); errors.As(err, &syntax) {
		before := p.body[:min(max(syntax.Offset-1, 0), int64(len(p.body)))]
		line += bytes.Count(before, []byte{'\n'})
	}
	return fmt.Errorf("%s:%d: %w", p.name, line, err)
}

// interruptible is a reader that ends with its context, though a read from a
// terminal or a pipe cannot be ended.
type interruptible struct {
	ctx context.Context
	in  io.Reader
	buf []byte
}

// Read waits no longer than the context. A read that was under way then is left
// to the end of the program, with its buffer.
func (r *interruptible) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if len(r.buf) < len(p) {
		r.buf = make([]byte, len(p))
	}
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	go func() {
		n, err := r.in.Read(r.buf[:len(p)])
		done <- result{n, err}
	}()
	select {
	case <-r.ctx.Done():
		return 0, r.ctx.Err()
	case got := <-done:
		return copy(p, r.buf[:got.n]), got.err
	}
}
