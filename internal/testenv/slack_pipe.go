package testenv

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
)

// PipeClient returns a client whose connections, to whatever address, are pipes
// in memory to this stand-in. It works inside a testing/synctest bubble, where
// a socket would keep time from passing.
func (s *Slack) PipeClient(t testing.TB) *http.Client {
	t.Helper()
	l := &slackPipe{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: s.Handler()}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l) // ends with ErrServerClosed
	}()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		s.mu.Lock()
		refusing := s.faults.down == SlackRefusing
		s.mu.Unlock()
		if refusing {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
		}
		return l.dial(ctx)
	}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = server.Close()
		<-served
	})
	return &http.Client{Transport: transport}
}

var errPipeClosed = errors.New("pipe listener closed")

type slackPipe struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *slackPipe) dial(ctx context.Context) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.closed:
		return nil, errPipeClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept waits for a dial.
func (l *slackPipe) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, errPipeClosed
	}
}

// Close ends Accept and dial.
func (l *slackPipe) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr has no meaning here.
func (l *slackPipe) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }
