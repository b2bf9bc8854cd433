package main

import (
	"fmt"
	"math/rand"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/build-tracker/build-tracker/internal/testenv"
	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
)

// Whichever way the replica that folds is lost, killed or frozen for longer
// than its lease and its claims last, the others go on in its place, and the
// result is that of one server.
func TestReplicasStandInForOneAnother(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 3} {
		t.Run(fmt.Sprintf("%d servers", n), func(t *testing.T) {
			t.Parallel()
			slack, env := newSlack(t)
			slack.SetLatency(50 * time.Millisecond) // so that calls are under way when a server is lost
			env = append(env, "DATABASE_URL="+testenv.Postgres(t), "REDIS_URL="+testenv.Redis(t))
			servers := startReplicas(t, n, env...)
			world := traffic.New(rand.New(rand.NewSource(time.Now().UnixNano())).Intn, traffic.Options{Builds: 150, Triggers: true})
			load := startLoad(t, world, &traffic.Poster{Target: servers.target, Workers: 8, Pace: 100 * time.Millisecond})

			rounds := []func(lost *process){
				servers.kill,
				func(lost *process) { servers.freeze(lost, 7*time.Second) },
				servers.kill,
				func(lost *process) { servers.freeze(lost, 10*time.Second) },
			}
			for i, lose := range rounds {
				load.reached(i+1, len(rounds)+2)
				before := load.poster.Acked()
				lose(servers.folder())
				if load.poster.Acked() == before && !load.ended() {
					t.Errorf("round %d: no delivery was taken while a server was lost", i)
				}
			}
			load.finish()
			verify(t, world, servers.any().url, func() error { return world.CheckMessages(said(slack)) })
			servers.folder()
			if n := slack.Deleted(); n > 0 {
				t.Logf("%d messages were sent twice and taken back", n)
			}
		})
	}
}

// replicas are servers on the same stores.
type replicas struct {
	t   *testing.T
	env []string

	mu   sync.Mutex
	up   []*process // those that deliveries are sent to
	next int
}

func startReplicas(t *testing.T, n int, env ...string) *replicas {
	t.Helper()
	r := &replicas{t: t, env: env}
	for range n {
		r.add(startProcess(t, env...))
	}
	return r
}

func (r *replicas) add(p *process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.up = append(r.up, p)
}

func (r *replicas) remove(p *process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.up = slices.DeleteFunc(r.up, func(u *process) bool { return u == p })
}

func (r *replicas) list() []*process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.up)
}

func (r *replicas) any() *process { return r.list()[0] }

// target returns the servers one after the other, as a load balancer does.
func (r *replicas) target() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next++
	return r.up[r.next%len(r.up)].url
}

// folder waits until one of the servers has the lease, and one alone.
func (r *replicas) folder() *process {
	r.t.Helper()
	var found *process
	wait(r.t, func() bool {
		n := 0
		for _, p := range r.list() {
			if p.folds() {
				found, n = p, n+1
			}
		}
		return n == 1
	})
	return found
}

// kill kills a server, and starts another one when its lease was taken over.
func (r *replicas) kill(lost *process) {
	r.t.Helper()
	r.remove(lost)
	lost.kill()
	r.folder()
	r.add(startProcess(r.t, r.env...))
}

// freeze makes a server stand still for d, in which its lease is taken over.
func (r *replicas) freeze(lost *process, d time.Duration) {
	r.t.Helper()
	r.remove(lost)
	thaw := time.NewTimer(d)
	defer thaw.Stop()
	lost.signal(syscall.SIGSTOP)
	r.folder()
	select {
	case <-thaw.C:
		r.t.Errorf("the lease was not taken over in %s", d)
	default:
		<-thaw.C
	}
	lost.signal(syscall.SIGCONT)
	wait(r.t, func() bool { return metric(lost.url, "buildtracker_lease_held") == 0 })
	r.add(lost)
}

// logEpochs says how often the servers gave up what Redis held.
func (r *replicas) logEpochs() {
	r.t.Helper()
	for i, p := range r.list() {
		r.t.Logf("server %d gave up Redis %v times", i, metric(p.url, "buildtracker_redis_generations_total"))
	}
}
