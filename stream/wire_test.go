package stream_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/build-tracker/build-tracker/stream"
)

var errCut = errors.New("connection reset")

// wire carries payloads between replicas in memory.
type wire struct {
	mu    sync.Mutex
	conns map[*wireConn]struct{}
}

func newWire() *wire { return &wire{conns: make(map[*wireConn]struct{})} }

// carry brings payloads to all who are connected. A nil from is a stranger.
func (w *wire) carry(from *port, payloads ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		if c.silent.Load() || c.port == from && from.noEcho {
			continue
		}
		for _, p := range payloads {
			c.arrived <- p
		}
	}
}

// port is the transport of one replica.
type port struct {
	wire   *wire
	noEcho bool          // its own payloads do not come back to it
	stuck  bool          // connecting takes for ever
	hold   chan struct{} // if set, each send takes from it before it goes

	mu         sync.Mutex
	sendErr    error
	connectErr error
	connects   []time.Time
	statements []string // what was sent, the payloads of a statement joined
	conn       *wireConn
}

func (w *wire) port() *port { return &port{wire: w} }

func (p *port) Send(ctx context.Context, payloads []string) error {
	p.mu.Lock()
	err := cmp.Or(ctx.Err(), p.sendErr)
	if err == nil {
		p.statements = append(p.statements, strings.Join(payloads, "\n"))
	}
	p.mu.Unlock()
	if err != nil {
		return err
	}
	if p.hold != nil {
		select {
		case <-p.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p.wire.carry(p, payloads...)
	return nil
}

func (p *port) Connect(ctx context.Context) (stream.Connection, error) {
	if p.stuck {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.connects = append(p.connects, time.Now())
	if p.connectErr != nil {
		return nil, p.connectErr
	}
	c := &wireConn{port: p, arrived: make(chan string, 10_000), cut: make(chan struct{})}
	p.wire.mu.Lock()
	defer p.wire.mu.Unlock()
	p.wire.conns[c] = struct{}{}
	p.conn = c
	return c, nil
}

// fail lets sends and connects fail from now on, or work again.
func (p *port) fail(sendErr, connectErr error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sendErr, p.connectErr = sendErr, connectErr
}

// cut ends the connection as a server does that goes away.
func (p *port) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.conn.cut)
}

// silence lets nothing through the connection any more, in either direction.
func (p *port) silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conn.silent.Store(true)
}

func (p *port) connected() []time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.connects)
}

// sent returns the statements since the last call.
func (p *port) sent() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	statements := p.statements
	p.statements = nil
	return statements
}

type wireConn struct {
	port    *port
	arrived chan string
	cut     chan struct{}
	silent  atomic.Bool
}

func (c *wireConn) Receive(ctx context.Context) (string, error) {
	select {
	case <-c.cut:
		return "", errCut
	default:
	}
	select {
	case p := <-c.arrived:
		return p, nil
	case <-c.cut:
		return "", errCut
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (c *wireConn) Ping(ctx context.Context) error {
	if c.silent.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (c *wireConn) Close() {
	c.port.wire.mu.Lock()
	defer c.port.wire.mu.Unlock()
	delete(c.port.wire.conns, c)
}

// tally counts what a bus tells its metrics.
type tally struct {
	sends, failed, lost, ignored atomic.Int64
	joined                       atomic.Bool
	listening                    atomic.Int64
}

func (c *tally) metrics() stream.BusMetrics {
	return stream.BusMetrics{
		Sent: func(err error) {
			c.sends.Add(1)
			if err != nil {
				c.failed.Add(1)
			}
		},
		Lost:      func(hints int) { c.lost.Add(int64(hints)) },
		Ignored:   func() { c.ignored.Add(1) },
		Joined:    c.joined.Store,
		Listening: func(channels int) { c.listening.Store(int64(channels)) },
	}
}

// replica is one bus on a wire, with all there is to look at.
type replica struct {
	*stream.NotificationsBus
	*port
	*tally
	log *bytes.Buffer // to be read when nothing runs
}

// start returns a replica that has joined those that are on the wire. It is for
// use in a bubble.
func start(t *testing.T, p *port) *replica {
	t.Helper()
	r := &replica{port: p, tally: new(tally), log: new(bytes.Buffer)}
	r.NotificationsBus = stream.NewNotificationsBus(stream.BusOptions{
		Transport: p,
		Logger:    slog.New(slog.NewTextHandler(r.log, nil)),
		Metrics:   r.metrics(),
	})
	t.Cleanup(func() { _ = r.Close() })
	settle()
	return r
}

// settle lets everything happen that does not wait for long.
func settle() {
	time.Sleep(50 * time.Millisecond)
	synctest.Wait()
}

func listen(t *testing.T, b *stream.NotificationsBus, channel string) <-chan stream.Notification {
	t.Helper()
	c, err := b.Listen(channel, 100)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// queued takes what is in the queue.
func queued(c <-chan stream.Notification) (all []stream.Notification) {
	for {
		select {
		case n, ok := <-c:
			if !ok {
				return all
			}
			all = append(all, n)
		default:
			return all
		}
	}
}

func hint(channel string) stream.Notification {
	return stream.Notification{Channel: channel, Healthy: true}
}
