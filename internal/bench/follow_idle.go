package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/build-tracker/build-tracker/internal/bench/child"
	"github.com/build-tracker/build-tracker/internal/bench/load"
	"github.com/build-tracker/build-tracker/internal/bench/measure"
)

const (
	// idleBuilds is how many builds the watchers share.
	idleBuilds = 100
	// idleDialers is how many streams are opened at a time.
	idleDialers = 64
)

// idle has many watchers of 100 builds wait for what does not come, and looks what
// the server takes for them. The baseline sends heartbeats and knows nothing of
// builds.
func (e *env) idle(ctx context.Context) (_ []measure.Line, err error) {
	watchers, lasts := full(e, 10_000, 1_000), full(e, 35*time.Second, 20*time.Second)
	if err := mayOpen(watchers + 500); err != nil {
		return nil, err
	}
	database, err := e.stores.NewDatabase(ctx, "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.stores.Drop(context.WithoutCancel(ctx), database)) }()
	if err := e.stores.WipeRedis(ctx); err != nil {
		return nil, err
	}
	start := func(ctx context.Context) (*child.Process, error) {
		return e.serve(ctx, "watchers", "DATABASE_URL="+database, "REDIS_URL="+e.stores.Redis())
	}
	builds, err := runningBuilds(ctx, start)
	if err != nil {
		return nil, err
	}
	paths := make([]string, watchers)
	for i := range paths {
		paths[i] = buildPath(builds[i%idleBuilds]) + "/events"
	}
	var cpus [2]measure.Samples
	var alone time.Duration // of the server, with nobody watching
	measured := func(n int, start func(context.Context) (*child.Process, error), look func(context.Context) error) func(context.Context, int) (float64, error) {
		return func(ctx context.Context, _ int) (_ float64, err error) {
			server, err := start(ctx)
			if err != nil {
				return 0, err
			}
			defer func() { err = errors.Join(err, server.Stop()) }()
			took, err := idleOn(ctx, server, paths, lasts, look)
			cpus[n] = append(cpus[n], took.cpu.Seconds())
			alone = max(alone, took.alone)
			return float64(took.memory) / float64(watchers) / 1e3, err
		}
	}
	samples, err := e.repeat(ctx, "watchers, KB each", 1, min(e.rounds, full(e, memoryRounds, 1)),
		side{"ours", measured(0, start, func(ctx context.Context) error { return oneListens(ctx, database) })},
		side{"baseline", measured(1, func(ctx context.Context) (*child.Process, error) {
			return e.serveBaseline(ctx, roleHeartbeats)
		}, nil)},
	)
	if err != nil {
		return nil, err
	}
	name := thousands(watchers) + " idle watchers of 100 builds, "
	return []measure.Line{
		{
			Name: name + "memory of each", Unit: measure.Kilobytes, Ours: samples[0], Baseline: samples[1], Target: measure.AtMost(1.5),
			Notes: []string{"of the server's connections to PostgreSQL one listens"},
		},
		{
			Name: name + fmt.Sprintf("processor time in %s", lasts), Unit: measure.Seconds,
			Ours: cpus[0], Baseline: cpus[1], Target: measure.AtMost(1.5),
			Notes: []string{fmt.Sprintf("of it, the server takes %.2f s when nobody watches", alone.Seconds())},
		},
	}, nil
}

// mayOpen says whether this process, and so its children, may have so many files
// open. The limit is at its highest already: the runtime of Go raises it at start.
func mayOpen(files int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	if limit.Cur < uint64(files) {
		return fmt.Errorf("%d files may be open and %d are needed: raise the limit, as with `ulimit -Hn %d`", limit.Cur, files, files)
	}
	return nil
}

// runningBuilds puts builds that have begun through a server, which is stopped
// then: one that has just taken deliveries has memory to spare.
func runningBuilds(ctx context.Context, start func(context.Context) (*child.Process, error)) (_ []*load.Build, err error) {
	server, err := start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	traffic, err := load.NewTraffic(load.TrafficOptions{Seed: 8, Shape: load.Shape{Jobs: 1}})
	if err != nil {
		return nil, err
	}
	builds := traffic.Builds(idleBuilds)
	return builds, announce(ctx, server.Addr, builds)
}

// oneListens is an error unless exactly one connection to the database listens.
func oneListens(ctx context.Context, database string) (err error) {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return fmt.Errorf("count the connections that listen: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	// The bus names its connection; of any other its latest statement would tell.
	const query = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
		AND (application_name = 'build-tracker notifications' OR query ILIKE 'LISTEN%')`
	var listening int
	if err := conn.QueryRow(ctx, query).Scan(&listening); err != nil {
		return fmt.Errorf("count the connections that listen: %w", err)
	}
	if listening != 1 {
		return fmt.Errorf("%d connections listen to PostgreSQL, and 1 is to", listening)
	}
	return nil
}

// taken is what idle watchers took of their server's machine.
type taken struct {
	memory int64 // bytes
	cpu    time.Duration
	alone  time.Duration // of processor time as long before they came
}

// settleFor is how long a server is left in peace before it is looked at.
const settleFor = 5 * time.Second

// idleOn opens a stream at each path of a server that has just started, and lets
// them be. It looks, where there is something to look at, while they are open.
func idleOn(ctx context.Context, server *child.Process, paths []string, lasts time.Duration, look func(context.Context) error) (t taken, err error) {
	if err := pause(ctx, settleFor); err != nil {
		return t, err
	}
	part, err := cpuOf(ctx, server, settleFor)
	if err != nil {
		return t, err
	}
	t.alone = time.Duration(float64(part) * float64(lasts) / float64(settleFor))
	before, err := server.Memory()
	if err != nil {
		return t, err
	}
	streams, err := openIdle(ctx, server.Addr, paths)
	if err != nil {
		return t, err
	}
	defer streams.close()
	if look != nil {
		if err := look(ctx); err != nil {
			return t, err
		}
	}
	if err := pause(streams.ctx, settleFor); err != nil {
		return t, err
	}
	if t.cpu, err = cpuOf(streams.ctx, server, lasts); err != nil {
		return t, err
	}
	after, err := server.Memory()
	if err != nil {
		return t, err
	}
	t.memory = after.Resident - before.Resident
	return t, streams.beat(int(lasts / heartbeatEvery))
}

// cpuOf returns the processor time that a server takes in a while.
func cpuOf(ctx context.Context, server *child.Process, lasts time.Duration) (time.Duration, error) {
	began, err := server.CPU()
	if err != nil {
		return 0, err
	}
	if err := pause(ctx, lasts); err != nil {
		return 0, err
	}
	ended, err := server.CPU()
	return ended - began, err
}

// pause waits for a while, or until ctx ends, which is an error.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// heartbeatEvery is how often each stream gets a comment.
const heartbeatEvery = 15 * time.Second

// idleStreams are open streams on which nothing is to come but heartbeats.
type idleStreams struct {
	ctx   context.Context // ends with the first that fails
	stop  context.CancelCauseFunc
	group sync.WaitGroup
	beats []atomic.Int32 // comments, by stream
}

// openIdle returns when each stream has brought something.
func openIdle(ctx context.Context, addr string, paths []string) (*idleStreams, error) {
	s := &idleStreams{beats: make([]atomic.Int32, len(paths))}
	s.ctx, s.stop = context.WithCancelCause(ctx)
	next := make(chan int, len(paths))
	for i := range paths {
		next <- i
	}
	close(next)
	var opening sync.WaitGroup
	for range idleDialers {
		opening.Go(func() {
			for i := range next {
				if s.ctx.Err() != nil {
					return
				}
				if err := s.open(addr, paths[i], &s.beats[i]); err != nil {
					s.stop(err)
				}
			}
		})
	}
	opening.Wait()
	if err := context.Cause(s.ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// open returns when something has come; the stream is read on until close.
func (s *idleStreams) open(addr, path string, beats *atomic.Int32) error {
	events, err := load.Watch(s.ctx, addr, path)
	if err != nil {
		return err
	}
	if _, err := events.Next(); err != nil {
		return errors.Join(fmt.Errorf("watch %s: %w", path, err), events.Close())
	}
	s.group.Go(func() {
		defer events.Close()
		for {
			m, err := events.Next()
			if err != nil {
				s.stop(fmt.Errorf("watch %s: %w", path, err))
				return
			}
			if m.Name == "" {
				beats.Add(1)
			}
		}
	})
	return nil
}

// beat is an error unless each stream has had so many heartbeats at least.
func (s *idleStreams) beat(least int) error {
	for i := range s.beats {
		if n := int(s.beats[i].Load()); n < least {
			return fmt.Errorf("a stream has had %d heartbeats, and %d were due", n, least)
		}
	}
	return nil
}

func (s *idleStreams) close() {
	s.stop(nil)
	s.group.Wait()
}
