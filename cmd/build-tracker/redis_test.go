package main

import (
	"math/rand"
	"net/http"
	"testing"
	"time"

	"github.com/build-tracker/build-tracker/internal/testenv"
	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
)

func TestRedisIsWipedUnderLoad(t *testing.T) {
	t.Parallel()
	const wipes = 20
	redis := testenv.StartRedis(t)
	slack, env := newSlack(t)
	servers := startReplicas(t, 2, append(env, "DATABASE_URL="+testenv.Postgres(t), "REDIS_URL="+redis.URL())...)
	world := traffic.New(rand.New(rand.NewSource(time.Now().UnixNano())).Intn, traffic.Options{Builds: 150, Triggers: true})
	load := startLoad(t, world, &traffic.Poster{Target: servers.target, Workers: 8, Pace: 20 * time.Millisecond})
	for i := range wipes {
		load.reached(i+1, wipes+1)
		redis.Wipe()
	}
	load.finish()
	load.checkAllTaken()
	servers.logEpochs()
	verify(t, world, servers.any().url, func() error { return world.CheckMessages(said(slack)) })
}

func TestRedisIsReplacedByAnOlderCopy(t *testing.T) {
	t.Parallel()
	redis := testenv.StartRedis(t)
	slack, env := newSlack(t)
	servers := startReplicas(t, 2, append(env, "DATABASE_URL="+testenv.Postgres(t), "REDIS_URL="+redis.URL())...)
	world := traffic.New(rand.New(rand.NewSource(time.Now().UnixNano())).Intn, traffic.Options{Builds: 150, Triggers: true})
	load := startLoad(t, world, &traffic.Poster{Target: servers.target, Workers: 8, Pace: 20 * time.Millisecond})
	load.reached(1, 10)
	servers.folder()
	old := redis.Dump()
	for part := 2; part < 10; part += 2 {
		load.reached(part, 10)
		redis.Restore(old)
		if part == 4 { // later copies, too
			servers.folder()
			old = redis.Dump()
		}
	}
	load.finish()
	load.checkAllTaken()
	servers.logEpochs()
	verify(t, world, servers.any().url, func() error { return world.CheckMessages(said(slack)) })
}

// Deliveries need no Redis: each is answered 200, and their builds catch up when
// it is back.
func TestRedisIsDownForAMinute(t *testing.T) {
	t.Parallel()
	redis := testenv.StartRedis(t)
	slack, env := newSlack(t)
	server := startProcess(t, append(env, "DATABASE_URL="+testenv.Postgres(t), "REDIS_URL="+redis.URL())...)
	world := traffic.New(rand.New(rand.NewSource(time.Now().UnixNano())).Intn, traffic.Options{Builds: 100, Triggers: true})
	load := startLoad(t, world, &traffic.Poster{Target: func() string { return server.url }, Workers: 8, Pace: 250 * time.Millisecond})
	load.reached(1, 20)
	redis.Stop()
	before := load.poster.Acked()
	last(t, time.Minute)
	taken := load.poster.Acked() - before
	if got := server.status("/-/readyz"); got != http.StatusOK {
		t.Errorf("/-/readyz answers %d while Redis is down, want 200: deliveries are taken", got)
	}
	if lag := metric(server.url, "buildtracker_cursor_lag_events"); lag < float64(taken)/2 {
		t.Errorf("%v events wait for Redis after %d deliveries; they are folded without it?", lag, taken)
	}
	redis.Start()
	back := time.Now()
	wait(t, func() bool { return metric(server.url, "buildtracker_cursor_lag_events") < 100 })
	if took := time.Since(back); took > 15*time.Second {
		t.Errorf("builds caught up %s after Redis was back", took)
	}
	load.finish()
	load.checkAllTaken()
	verify(t, world, server.url, func() error { return world.CheckMessages(said(slack)) })
}
