package main

import (
	"net/http"
	"testing"
	"time"

	"github.com/build-tracker/build-tracker/internal/testenv"
	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
)

// badNetworkTest has two servers, of which the near one reaches a store over a bad
// network, and watchers that go from one to the other.
type badNetworkTest struct {
	*testing.T
	network   *badNetwork
	near, far *process
	load      *load
	crowd     *crowd
}

// startBadNetworkTest starts the servers, watchers, and deliveries that go to both.
// env returns the near server's environment, given where the stores are.
func startBadNetworkTest(t *testing.T, env func(database, redis string) (*badNetwork, []string)) *badNetworkTest {
	t.Helper()
	const watchers, builds = 20, 200
	database, redis := testenv.Postgres(t), testenv.Redis(t)
	n := &badNetworkTest{T: t}
	network, near := env(database, redis)
	n.network = network
	n.near = startProcess(t, append([]string{"NOTICES=off"}, near...)...)
	wait(t, n.near.folds)
	n.far = startProcess(t, "NOTICES=off", "DATABASE_URL="+database, "REDIS_URL="+redis)
	servers := &replicas{t: t, up: []*process{n.near, n.far}}
	var deliveries []traffic.Delivery
	for first := 1; first <= builds; first += watchers {
		deliveries = append(deliveries, sideBySide(first, watchers)...)
	}
	n.crowd = startCrowd(t, servers, watchers, builds)
	n.load = startLoad(t, &traffic.World{Deliveries: deliveries},
		&traffic.Poster{Target: servers.target, Workers: 8, Pace: 100 * time.Millisecond})
	return n
}

// during has the network be bad until what it leads to is seen.
func (n *badNetworkTest) during(toxic string, seen func() bool) {
	n.Helper()
	n.network.turn(toxic)
	wait(n.T, seen)
	n.network.heal()
	n.Logf("%s: %d deliveries taken, %d tries refused", toxic, n.load.poster.Acked(), n.load.countRefused())
}

// within fails the test unless something is seen in time.
func (n *badNetworkTest) within(limit time.Duration, what string, seen func() bool) {
	n.Helper()
	began := time.Now()
	wait(n.T, seen)
	if took := time.Since(began); took > limit {
		n.Errorf("%s after %s, want within %s", what, took, limit)
	} else {
		n.Logf("%s after %s", what, took)
	}
}

// taken returns a condition: so many more deliveries were taken, or all.
func (n *badNetworkTest) taken(more int64) func() bool {
	want := n.load.poster.Acked() + more
	return func() bool { return n.load.poster.Acked() >= want || n.load.ended() }
}

// refused returns a condition: so many more tries were refused.
func (n *badNetworkTest) refused(more int) func() bool {
	want := n.load.countRefused() + more
	return func() bool { return n.load.countRefused() >= want || n.load.ended() }
}

func (n *badNetworkTest) joined(want float64) func() bool {
	return func() bool { return metric(n.near.url, "buildtracker_bus_joined") == want }
}

// A server that loses its database refuses deliveries, in time and with a word
// about when to come back, and watchers wait with it or go elsewhere.
func TestDatabaseBehindABadNetwork(t *testing.T) {
	t.Parallel()
	n := startBadNetworkTest(t, func(database, redis string) (*badNetwork, []string) {
		network, near := newBadNetwork(t, database)
		return network, []string{"DATABASE_URL=" + near, "DATABASE_LISTEN_URL=" + database, "REDIS_URL=" + redis}
	})
	ready := func() bool { return n.near.status("/-/readyz") == http.StatusOK }
	n.during(lateness, n.taken(40))
	for _, toxic := range []string{resets, blackHole} {
		n.during(toxic, n.refused(10))
		n.within(recovery, "deliveries are taken again", ready)
	}
	n.load.finish()
	checkRefusals(t, n.load)
	n.crowd.check()
}

// A server that does not hear the others is a little later, and nothing else.
func TestNotificationsOverABadNetwork(t *testing.T) {
	t.Parallel()
	n := startBadNetworkTest(t, func(database, redis string) (*badNetwork, []string) {
		network, near := newBadNetwork(t, database)
		return network, []string{"DATABASE_URL=" + database, "DATABASE_LISTEN_URL=" + near, "REDIS_URL=" + redis}
	})
	wait(t, n.joined(1))
	n.during(lateness, n.taken(40))
	for _, toxic := range []string{resets, blackHole} {
		n.during(toxic, n.joined(0))
		n.within(recovery, "the others are heard again", n.joined(1))
	}
	n.load.finish()
	n.load.checkAllTaken()
	n.crowd.check()
}

// Deliveries need no Redis, and whoever reaches it folds them.
func TestRedisBehindABadNetwork(t *testing.T) {
	t.Parallel()
	n := startBadNetworkTest(t, func(database, redis string) (*badNetwork, []string) {
		network, near := newBadNetwork(t, redis)
		return network, []string{"DATABASE_URL=" + database, "REDIS_URL=" + near}
	})
	n.during(lateness, n.taken(40))
	n.during(resets, n.far.folds)
	n.during(blackHole, n.taken(100))
	n.load.finish()
	n.load.checkAllTaken()
	n.crowd.check()
}

// recovery bounds how long a server may take to use a network that is good again.
const recovery = 15 * time.Second
