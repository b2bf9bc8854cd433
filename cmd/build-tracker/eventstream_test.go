package main

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestEventStreamIsParsedAsTheStandardSays(t *testing.T) {
	t.Parallel()
	type events []serverEvent
	for name, tc := range map[string]struct {
		text string
		want events
	}{
		"nothing":              {"", nil},
		"an event":             {"id: 7\nevent: status\ndata: {}\n\n", events{{"status", "7", []byte("{}")}}},
		"no type":              {"data: a\n\n", events{{"message", "", []byte("a")}}},
		"no end":               {"data: a\n\ndata: b\n", events{{"message", "", []byte("a")}}},
		"no end of the line":   {"data: a\n\ndata: b", events{{"message", "", []byte("a")}}},
		"several lines":        {"data: a\ndata:\ndata: b\n\n", events{{"message", "", []byte("a\n\nb")}}},
		"CR":                   {"data: a\rdata: b\r\r", events{{"message", "", []byte("a\nb")}}},
		"CRLF":                 {"data: a\r\ndata: b\r\n\r\n", events{{"message", "", []byte("a\nb")}}},
		"ends of all kinds":    {"data: a\rdata: b\ndata: c\r\n\n\r\ndata: d\n\r", events{{"message", "", []byte("a\nb\nc")}, {"message", "", []byte("d")}}},
		"comments":             {":\n: hush\n\ndata: a\n:data: b\n\n", events{{"message", "", []byte("a")}}},
		"one space is cut":     {"data:  a \n\ndata:b\n\n", events{{"message", "", []byte(" a ")}, {"message", "", []byte("b")}}},
		"colons in a value":    {"data: a: b:c\n\n", events{{"message", "", []byte("a: b:c")}}},
		"empty data":           {"data\n\ndata:\ndata\n\n", events{{"message", "", nil}, {"message", "", []byte("\n")}}},
		"no data, no event":    {"event: a\n\ndata: b\n\n", events{{"message", "", []byte("b")}}},
		"an id stays":          {"id: 1\ndata: a\n\ndata: b\n\n", events{{"message", "1", []byte("a")}, {"message", "1", []byte("b")}}},
		"an id without data":   {"id: 1\n\ndata: b\n\n", events{{"message", "1", []byte("b")}}},
		"an id is taken back":  {"id: 1\ndata: a\n\nid\ndata: b\n\n", events{{"message", "1", []byte("a")}, {"message", "", []byte("b")}}},
		"an id with NUL":       {"id: 1\ndata: a\n\nid: 2\x00\ndata: b\n\n", events{{"message", "1", []byte("a")}, {"message", "1", []byte("b")}}},
		"the last type counts": {"event: a\nevent: b\ndata: c\n\n", events{{"b", "", []byte("c")}}},
		"an unknown field":     {"Data: a\ndat: b\n data: c\ndata : d\ndata: e\n\n", events{{"message", "", []byte("e")}}},
		"a byte order mark":    {"\ufeffdata: a\n\n\ufeffdata: b\n\n", events{{"message", "", []byte("a")}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, in := range []io.Reader{strings.NewReader(tc.text), iotest.OneByteReader(strings.NewReader(tc.text))} {
				if diff := cmp.Diff(tc.want, events(readAll(t, in))); diff != "" {
					t.Errorf("events of %q (-want +got):\n%s", tc.text, diff)
				}
			}
		})
	}
}

// readAll returns a stream's events up to its end.
func readAll(t *testing.T, r io.Reader) []serverEvent {
	t.Helper()
	var events []serverEvent
	for s := newEventStream(r); ; {
		e, err := s.next()
		if errors.Is(err, io.EOF) {
			return events
		}
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
}

func TestEventStreamTakesRetryAsDigitsOnly(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"retry: 2500\n": 2500 * time.Millisecond, "retry:0\n": 0, "retry: 2.5\n": 0, "retry: -1\n": 0, "retry: +1\n": 0,
		"retry: 1_0\n": 0, "retry\n": 0, "retry: 99999999999999999999\n": 0, "retry: 10\nretry: soon\n": 10 * time.Millisecond,
	} {
		s := newEventStream(strings.NewReader(text))
		if _, err := s.next(); !errors.Is(err, io.EOF) || s.retry != want {
			t.Errorf("%q: %s (%v), want %s", text, s.retry, err, want)
		}
	}
}

// TestIDCountsWithItsEvent: what broke off within an event has to come again.
func TestIDCountsWithItsEvent(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "6", "id: 7\n": "6", "id: 7\ndata: a": "6", "id: 7\ndata: a\n": "6", "id: 7\ndata: a\n\n": "7", "id: 7\n\n": "7", "id\n\n": "",
	} {
		s := newEventStream(strings.NewReader(text))
		s.resume("6", 0)
		for err := error(nil); err == nil; {
			_, err = s.next()
		}
		if s.id != want {
			t.Errorf("after %q the last id is %q, want %q", text, s.id, want)
		}
	}
}

// TestEventIsThereWithItsLine: an event that ends in CR does not wait for what
// the server sends after it.
func TestEventIsThereWithItsLine(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"\n", "\r", "\r\n"} {
		r, w := io.Pipe()
		s := newEventStream(r)
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			io.WriteString(w, "data: a"+end+end)
		}()
		if e, err := s.next(); err != nil || string(e.Data) != "a" {
			t.Errorf("after %q: %q, %v", end, e.Data, err)
		}
		r.Close()
		<-sent
	}
}

func TestEventStreamIsBounded(t *testing.T) {
	t.Parallel()
	line := strings.Repeat("x", maxEvent/4)
	for name, tc := range map[string]struct {
		text string
		err  error
	}{
		"a long line":            {"data:" + strings.Repeat("x", maxEvent-5) + "\n\n", nil},
		"a line too long":        {"data:" + strings.Repeat("x", maxEvent-4) + "\n\n", errEventTooLong},
		"a comment too long":     {strings.Repeat(":", maxEvent+1) + "\n\n", errEventTooLong},
		"many lines, too long":   {strings.Repeat("data:"+line+"\n", 4) + "\n", errEventTooLong},
		"many lines, just right": {strings.Repeat("data:"+line+"\n", 3) + "\n", nil},
		"a reader that fails":    {"", iotest.ErrTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := io.Reader(strings.NewReader(tc.text))
			if errors.Is(tc.err, iotest.ErrTimeout) {
				in = iotest.ErrReader(tc.err)
			}
			if _, err := newEventStream(in).next(); !errors.Is(err, tc.err) {
				t.Errorf("error %v, want %v", err, tc.err)
			}
		})
	}
}

// FuzzEventStream: what a stream says does not depend on how it is cut, and
// said again in the plainest way it is the same.
func FuzzEventStream(f *testing.F) {
	f.Add("id: 7\r\nevent: status\rdata: {\"a\":1}\ndata: b\n\n: hush\n\nretry: 10\ndata\r\r")
	f.Add("\ufeffdata: a\n\nid: 1\x00\ndata:  b\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<16 {
			t.Skip()
		}
		whole := readAll(t, strings.NewReader(text))
		if diff := cmp.Diff(whole, readAll(t, iotest.OneByteReader(strings.NewReader(text)))); diff != "" {
			t.Errorf("byte by byte (-whole +cut):\n%s", diff)
		}
		var again strings.Builder
		for _, e := range whole {
			if strings.ContainsAny(e.Type, "\r\n") || strings.ContainsAny(e.ID, "\r\n\x00") || strings.Contains(string(e.Data), "\r") {
				t.Errorf("a line's end, or a NUL in an id, got into %+q", e)
			}
			again.WriteString("id: " + e.ID + "\nevent: " + e.Type + "\n")
			for line := range strings.SplitSeq(string(e.Data), "\n") {
				again.WriteString("data: " + line + "\n")
			}
			again.WriteString("\n")
		}
		if diff := cmp.Diff(whole, readAll(t, strings.NewReader(again.String()))); diff != "" {
			t.Errorf("said again (-before +after):\n%s", diff)
		}
	})
}
