package main

import (
	"context"
	"fmt"
	"math/rand"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/build-tracker/build-tracker/internal/testenv"
	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
)

// listeners selects the sessions in which servers hear each other.
const listeners = `application_name = 'build-tracker notifications'`

// Servers are killed, their connections for notifications are cut, and PostgreSQL
// goes away, while watchers come, go and come back elsewhere: each of them sees
// every event of its builds once, in order, and then the end.
func TestWatchersMissNothingInAStorm(t *testing.T) {
	t.Parallel()
	const watchers, builds, rounds = 500, 2000, 8
	postgres := testenv.StartPostgres(t)
	servers := startReplicas(t, 3, "DATABASE_URL="+postgres.URL(), "REDIS_URL="+testenv.Redis(t))
	// Each watcher has builds of its own, one after the other, which live at the
	// same time as those of the other watchers.
	var deliveries []traffic.Delivery
	for first := 1; first <= builds; first += watchers {
		deliveries = append(deliveries, sideBySide(first, watchers)...)
	}
	crowd := startCrowd(t, servers, watchers, builds)
	load := startLoad(t, &traffic.World{Deliveries: deliveries}, &traffic.Poster{Target: servers.target, Workers: 16})

	for round := range rounds {
		load.reached(round+1, rounds+1)
		cutListeners(t, postgres.URL())
		lost := servers.any()
		servers.remove(lost)
		lost.kill()
		if round == rounds/2 {
			postgres.Stop()
			postgres.Start()
		}
		servers.add(startProcess(t, servers.env...))
	}
	load.finish()
	crowd.check()
}

// sideBySide returns the deliveries of n builds that live at the same time. One in
// four fails.
func sideBySide(first, n int) (out []traffic.Delivery) {
	var each [][]traffic.Delivery
	for i := range n {
		state := "passed"
		if i%4 == 0 {
			state = "failed"
		}
		each = append(each, shortBuild(first+i, state))
	}
	for step := range each[0] {
		for _, deliveries := range each {
			out = append(out, deliveries[step])
		}
	}
	return out
}

// cutListeners cuts every server off from the others' notifications.
func cutListeners(t *testing.T, url string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE `+listeners); err != nil {
		t.Fatal(err)
	}
}

// crowd is many watchers of builds, and one of the whole stream for each server.
type crowd struct {
	t       *testing.T
	servers *replicas
	dice    *dice
	client  *http.Client
	began   time.Time

	ofBuilds, ofAll []*watcher
	builds, all     sync.WaitGroup
	leave           context.CancelFunc // ends those of the whole stream
}

// crowdTimeout is how long watchers may take for all their builds, on a machine
// that has much else to do.
const crowdTimeout = 6 * time.Minute

// startCrowd has n watchers follow builds 1 to builds.
func startCrowd(t *testing.T, servers *replicas, n, builds int) *crowd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), crowdTimeout)
	c := &crowd{t: t, servers: servers, dice: newDice(), leave: cancel, began: time.Now(), client: &http.Client{Transport: &http.Transport{}}}
	for first := range n {
		var mine []*watcher
		for number := first + 1; number <= builds; number += n {
			mine = append(mine, c.watcher(eventsPath("acme", "web", int64(number)), 8))
		}
		c.ofBuilds = append(c.ofBuilds, mine...)
		c.builds.Go(func() {
			for _, w := range mine {
				if err := w.follow(ctx); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range len(servers.list()) {
		w := c.watcher("/api/events", 2000)
		w.whole = true
		c.ofAll = append(c.ofAll, w)
		c.all.Go(func() {
			if err := w.follow(ctx); ctx.Err() == nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		c.builds.Wait()
		c.all.Wait()
		c.client.CloseIdleConnections()
	})
	return c
}

// watcher returns one that goes elsewhere after about so many events.
func (c *crowd) watcher(path string, stay int) *watcher {
	return &watcher{
		path: path, client: c.client,
		target: func() string {
			up := c.servers.list()
			return up[c.dice.roll(len(up))].url
		},
		leave: func() bool { return c.dice.roll(stay) == 0 },
	}
}

// check waits for the watchers and compares what they saw with what is stored.
func (c *crowd) check() {
	c.t.Helper()
	c.builds.Wait()
	if c.t.Failed() {
		return
	}
	var have stored
	err := traffic.Eventually(c.t.Context(), crowdTimeout, func(ctx context.Context) (err error) {
		if have, err = readStored(ctx, c.servers.any().url); err != nil {
			return err
		}
		last := have.all[len(have.all)-1].id
		for _, w := range c.ofAll {
			if at := w.at.Load(); at != last {
				return fmt.Errorf("a watcher of the whole stream is at %d, which ends at %d", at, last)
			}
		}
		return nil
	})
	c.leave()
	c.all.Wait()
	if err != nil {
		c.t.Error(err)
	}
	came := 0
	for _, w := range c.ofBuilds {
		came += w.came
		if err := w.check(have.byPath[w.path]); err != nil {
			c.t.Error(err)
		}
	}
	for _, w := range c.ofAll {
		came += w.came
		if err := w.check(have.all); err != nil {
			c.t.Error(err)
		}
	}
	c.t.Logf("in %s, %d builds of %d events were followed over %d connections", time.Since(c.began).Round(time.Second), len(c.ofBuilds), len(have.all), came)
}

// dice may be rolled by many.
type dice struct {
	mu   sync.Mutex
	rand *rand.Rand
}

func newDice() *dice { return &dice{rand: rand.New(rand.NewSource(time.Now().UnixNano()))} }

func (d *dice) roll(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rand.Intn(n)
}
