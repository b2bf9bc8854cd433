package bigquery

import (
	"net"
	"sync"
)

// gate is a listener that can turn connections away and cut those it let in.
// It keeps its port while it does, so that nobody else can get it.
type gate struct {
	net.Listener

	mu      sync.Mutex
	down    bool
	refused int64
	conns   map[string]*gateConn // by the client's address
}

// Accept waits for a connection while the gate is up.
func (g *gate) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		held := &gateConn{Conn: c, gate: g}
		if g.admit(held) {
			return held, nil
		}
		reset(held)
	}
}

func (g *gate) admit(c *gateConn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.down {
		g.refused++
		return false
	}
	g.conns[c.RemoteAddr().String()] = c
	return true
}

// setDown turns away every connection from now on, those that are open too.
func (g *gate) setDown(down bool) {
	g.mu.Lock()
	g.down = down
	g.mu.Unlock()
	if down {
		g.dropAll()
	}
}

func (g *gate) dropAll() {
	g.mu.Lock()
	open := make([]*gateConn, 0, len(g.conns))
	for _, c := range g.conns {
		open = append(open, c)
	}
	g.mu.Unlock()
	for _, c := range open {
		reset(c)
	}
}

// drop cuts the connection of the client at an address.
func (g *gate) drop(client string) {
	g.mu.Lock()
	c := g.conns[client]
	g.mu.Unlock()
	if c != nil {
		reset(c)
	}
}

func (g *gate) refusals() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.refused
}

// reset closes a connection such that the client sees an error, not an end.
func reset(c *gateConn) {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // an end will do where that cannot be had
	}
	c.Close()
}

type gateConn struct {
	net.Conn
	gate *gate
}

// Close closes the connection and forgets it.
func (c *gateConn) Close() error {
	c.gate.mu.Lock()
	client := c.RemoteAddr().String()
	if c.gate.conns[client] == c {
		delete(c.gate.conns, client)
	}
	c.gate.mu.Unlock()
	return c.Conn.Close()
}
