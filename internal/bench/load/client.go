package load

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Client is one connection that is kept, for one goroutine. It writes a request
// with one call and starts no goroutine, so that it costs little.
type Client struct {
	conn  net.Conn
	in    *bufio.Reader
	out   []byte
	host  string
	token string
	// answer is the body of the latest one.
	answer bytes.Buffer
}

// callTimeout is how long a call may take: Buildkite waits 5 seconds.
const callTimeout = 10 * time.Second

// Dial connects to host:port. The token goes with each delivery.
func Dial(ctx context.Context, addr, token string) (*Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect to the server under test: %w", err)
	}
	return &Client{conn: conn, in: bufio.NewReader(conn), host: addr, token: token}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Post posts a delivery. The error says so when it is not answered 200.
func (c *Client) Post(d Delivery) error {
	b := append(c.out[:0], "POST /buildkite HTTP/1.1\r\nHost: "...)
	b = append(b, c.host...)
	b = append(append(b, "\r\nContent-Type: application/json\r\nX-Buildkite-Event: "...), d.Event...)
	if c.token != "" {
		b = append(append(b, "\r\nX-Buildkite-Token: "...), c.token...)
	}
	b = strconv.AppendInt(append(b, "\r\nContent-Length: "...), int64(len(d.Body)), 10)
	b = append(append(b, "\r\n\r\n"...), d.Body...)
	c.out = b
	status, answer, err := c.call()
	if err != nil {
		return fmt.Errorf("post a delivery: %w", err)
	}
	if status != http.StatusOK {
		return fmt.Errorf("post a delivery: answered %d: %s", status, answer)
	}
	return nil
}

// Get returns the body of the answer, valid until the next call; nil for 404.
func (c *Client) Get(path string) ([]byte, error) {
	c.out = fmt.Appendf(c.out[:0], "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, c.host)
	status, answer, err := c.call()
	switch {
	case err != nil:
		return nil, fmt.Errorf("get %s: %w", path, err)
	case status == http.StatusNotFound:
		return nil, nil
	case status != http.StatusOK:
		return nil, fmt.Errorf("get %s: answered %d: %s", path, status, answer)
	}
	return answer, nil
}

// call sends what is in out.
func (c *Client) call() (status int, answer []byte, err error) {
	if err := c.conn.SetDeadline(time.Now().Add(callTimeout)); err != nil {
		return 0, nil, err
	}
	if _, err := c.conn.Write(c.out); err != nil {
		return 0, nil, err
	}
	response, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	c.answer.Reset()
	_, err = c.answer.ReadFrom(response.Body)
	return response.StatusCode, c.answer.Bytes(), err
}
