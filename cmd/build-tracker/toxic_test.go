package main

import (
	"net/url"
	"strings"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// The ways in which a network is bad, as toxiproxy names them.
const (
	// lateness has every answer come late.
	lateness = `{"name": "bad", "type": "latency", "attributes": {"latency": 200, "jitter": 200}}`
	// resets end every connection at its next answer.
	resets = `{"name": "bad", "type": "reset_peer"}`
	// blackHole swallows every answer. Connections stay open, then and afterwards.
	blackHole = `{"name": "bad", "type": "black_hole"}`
)

// swallowing is black_hole. Toxiproxy's own, timeout, would close the connections
// when it is taken away, and so tell who waits that nothing is to come.
type swallowing struct{}

// Pipe is toxics.Toxic.
func (swallowing) Pipe(stub *toxics.ToxicStub) {
	for {
		select {
		case <-stub.Interrupt:
			return
		case chunk := <-stub.Input:
			if chunk == nil {
				stub.Close()
				return
			}
		}
	}
}

// badNetwork stands between a server and one of its stores.
type badNetwork struct {
	t     *testing.T
	proxy *toxiproxy.Proxy
}

// newBadNetwork returns a network that is good as yet, and where a store at from
// is found behind it.
func newBadNetwork(t *testing.T, from string) (_ *badNetwork, to string) {
	t.Helper()
	u, err := url.Parse(from)
	if err != nil {
		t.Fatal(err)
	}
	toxics.Register("black_hole", new(swallowing))
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	n := &badNetwork{t: t, proxy: toxiproxy.NewProxy(server, "network", "127.0.0.1:0", u.Host)}
	if err := n.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.proxy.Stop)
	u.Host = n.proxy.Listen
	return n, u.String()
}

// turn makes the network bad in one of the ways above.
func (n *badNetwork) turn(toxic string) {
	n.t.Helper()
	if _, err := n.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		n.t.Fatal(err)
	}
}

// heal makes the network good again. What was swallowed is lost.
func (n *badNetwork) heal() {
	n.t.Helper()
	if err := n.proxy.Toxics.RemoveToxic(n.t.Context(), "bad"); err != nil {
		n.t.Fatal(err)
	}
}
