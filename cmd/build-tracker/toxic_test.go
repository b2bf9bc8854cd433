package main

import (
	"net/url"
	"strings"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// The ways in which a network is bad, as toxiproxy names them.
const (
	// lateness has every answer come late.
	lateness = `"type": "latency", "attributes": {"latency": 200, "jitter": 200}`
	// resets end every connection at its next answer.
	resets = `"type": "reset_peer"`
	// blackHole swallows every answer. Connections stay open.
	blackHole = `"type": "timeout"`
)

// badNetwork stands between a server and one of its stores.
type badNetwork struct {
	t     *testing.T
	proxy *toxiproxy.Proxy
	bad   string // the name of the latest toxic
}

// newBadNetwork returns a network that is good as yet, and where a store at from
// is found behind it.
func newBadNetwork(t *testing.T, from string) (_ *badNetwork, to string) {
	t.Helper()
	u, err := url.Parse(from)
	if err != nil {
		t.Fatal(err)
	}
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	n := &badNetwork{t: t, proxy: toxiproxy.NewProxy(server, "network", "127.0.0.1:0", u.Host)}
	if err := n.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.proxy.Stop)
	u.Host = n.proxy.Listen
	return n, u.String()
}

// turn makes the network bad in one of the ways above, once in each.
func (n *badNetwork) turn(toxic string) {
	n.t.Helper()
	added, err := n.proxy.Toxics.AddToxicJson(strings.NewReader("{" + toxic + "}"))
	if err != nil {
		n.t.Fatal(err)
	}
	n.bad = added.Name
}

// heal makes the network good again. What it swallowed is lost, and nobody is
// told: a toxic that is removed would close the connections.
func (n *badNetwork) heal() {
	n.t.Helper()
	if _, err := n.proxy.Toxics.UpdateToxicJson(n.bad, strings.NewReader(`{"toxicity": 0}`)); err != nil {
		n.t.Fatal(err)
	}
}
