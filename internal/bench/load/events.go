package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// maxEventLine bounds a line of a stream, in bytes.
const maxEventLine = 32 << 20

// Message is what comes on a stream of server-sent events: an event, or a
// comment, which has no name.
type Message struct {
	// Name is the event's type; empty for a comment.
	Name string
	// Data is valid until the next message.
	Data []byte
}

// Events is a stream of server-sent events over a connection of its own, for one
// goroutine.
type Events struct {
	conn net.Conn
	body *bufio.Reader
	line []byte
	data []byte
	stop func() bool
}

// Watch asks host:port for the stream at path, and returns when it has begun. The
// connection is closed when ctx ends: then Next returns an error.
func Watch(ctx context.Context, addr, path string) (_ *Events, err error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", path, err)
	}
	s := &Events{conn: conn, stop: context.AfterFunc(ctx, func() { conn.Close() })}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("watch %s: %w", path, err), s.Close())
		}
	}()
	if err := conn.SetDeadline(time.Now().Add(callTimeout)); err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n\r\n", path, addr); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil) //nolint:bodyclose // Close closes the connection
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answered %s", response.Status)
	}
	s.body = bufio.NewReader(response.Body)
	return s, conn.SetDeadline(time.Time{})
}

// Close ends the connection.
func (s *Events) Close() error {
	if s.stop() {
		return s.conn.Close()
	}
	return nil // closed, or about to be
}

// Next waits for the next message. The error is io.EOF where the stream ended.
func (s *Events) Next() (Message, error) {
	m := Message{}
	s.data = s.data[:0]
	for {
		line, err := s.readLine()
		if err != nil {
			return Message{}, err
		}
		if len(line) == 0 {
			if m.Name == "" {
				continue // fields for the client alone
			}
			m.Data = s.data
			return m, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "":
			return Message{}, nil
		case "event":
			m.Name = string(value)
		case "data":
			s.data = append(s.data, value...)
		}
	}
}

// readLine returns a line, valid until the next, without its end.
func (s *Events) readLine() ([]byte, error) {
	s.line = s.line[:0]
	for {
		part, err := s.body.ReadSlice('\n')
		s.line = append(s.line, part...)
		switch {
		case err == nil:
			return s.line[:len(s.line)-1], nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case len(s.line) > maxEventLine:
			return nil, fmt.Errorf("a line of the stream is longer than %d bytes", maxEventLine)
		}
	}
}
