package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// maxEvent bounds a line of a stream, and the data of an event, in bytes.
const maxEvent = 16 << 20

// errEventTooLong is what a stream ends with that holds more than maxEvent in
// one event.
var errEventTooLong = fmt.Errorf("an event is longer than %d MiB", maxEvent>>20)

// serverEvent is an event as a server sent it.
type serverEvent struct {
	// Type is "message" where the server named none.
	Type string
	// ID is the last id that the server sent, with this event or before it.
	ID string
	// Data is its own: nothing writes to it later.
	Data []byte
}

// eventStream parses a text/event-stream, as the HTML standard says
// (https://html.spec.whatwg.org/multipage/server-sent-events.html).
type eventStream struct {
	lines *bufio.Scanner
	first bool // the next line is the first
	// Of the event that is being read:
	typ     string
	data    []byte
	hasData bool
	nextID  string
	// Of the stream; what broke off within an event does not count:
	id    string
	retry time.Duration
}

func newEventStream(r io.Reader) *eventStream {
	s := &eventStream{lines: bufio.NewScanner(r), first: true}
	s.lines.Buffer(make([]byte, 0, 4096), maxEvent+1) // the line and its end
	s.lines.Split(new(lineSplitter).split)
	return s
}

// resume says which id the stream had before, and what pause it asked for.
func (s *eventStream) resume(id string, retry time.Duration) { s.id, s.nextID, s.retry = id, id, retry }

// next returns the next event that has data. It returns io.EOF at the end of
// the stream, where an event without an empty line after it is none.
func (s *eventStream) next() (serverEvent, error) {
	for s.lines.Scan() {
		line := s.lines.Bytes()
		if s.first {
			s.first = false
			line = bytes.TrimPrefix(line, []byte("\ufeff"))
		}
		if len(line) > 0 {
			if err := s.field(line); err != nil {
				return serverEvent{}, err
			}
			continue
		}
		s.id = s.nextID
		e, complete := serverEvent{Type: s.typ, ID: s.id, Data: s.data}, s.hasData
		s.typ, s.data, s.hasData = "", nil, false
		if e.Type == "" {
			e.Type = "message"
		}
		if complete {
			return e, nil
		}
	}
	err := s.lines.Err()
	if errors.Is(err, bufio.ErrTooLong) {
		err = errEventTooLong
	}
	if err == nil {
		err = io.EOF
	}
	return serverEvent{}, err
}

// field takes a line that is not empty. One that begins with a colon is a
// comment: a field without a name, which is unknown.
func (s *eventStream) field(line []byte) error {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "event":
		s.typ = string(value)
	case "data":
		if len(s.data)+1+len(value) > maxEvent {
			return errEventTooLong
		}
		if s.hasData {
			s.data = append(s.data, '\n')
		}
		s.data = append(s.data, value...)
		s.hasData = true
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			s.nextID = string(value)
		}
	case "retry":
		if ms, err := strconv.ParseUint(string(value), 10, 31); err == nil {
			s.retry = time.Duration(ms) * time.Millisecond
		}
	}
	return nil
}

// lineSplitter finds lines that end in LF, CR, or both. A line that ends in CR
// is there at once: the LF may be long in coming.
type lineSplitter struct {
	afterCR bool
	seen    int // bytes of the line that were looked at
}

// split is a bufio.SplitFunc. A line without an end is none.
func (s *lineSplitter) split(data []byte, _ bool) (int, []byte, error) {
	if len(data) == 0 {
		return 0, nil, nil
	}
	begin := 0
	if s.afterCR && data[0] == '\n' {
		begin = 1 // it belongs to the line before
	}
	at := max(begin, s.seen)
	end := bytes.IndexAny(data[at:], "\r\n")
	if end < 0 {
		s.seen = len(data)
		return 0, nil, nil
	}
	end += at
	s.seen, s.afterCR = 0, data[end] == '\r'
	return end + 1, data[begin:end:end], nil
}
