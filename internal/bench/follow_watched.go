package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/internal/bench/baseline"
	"github.com/build-tracker/build-tracker/internal/bench/measure"
	"github.com/build-tracker/build-tracker/stream"
)

const (
	watchedWriters = 32
	watchedBuilds  = 100
	// catchUpTimeout is how long watchers may take for what is left when the
	// writers have ended.
	catchUpTimeout = 60 * time.Second
)

// watched has writers append to builds that are followed at another replica, and
// as many that insert the same rows one by one.
func (e *env) watched(ctx context.Context) (_ []measure.Line, err error) {
	database, err := e.stores.NewDatabase(ctx, "")
	if err != nil {
		return nil, err
	}
	var closers []func() error
	defer func() {
		for i := range closers {
			err = errors.Join(err, closers[len(closers)-1-i]())
		}
	}()
	closers = append(closers, func() error { return e.stores.Drop(context.WithoutCancel(ctx), database) })
	writing, err := openReplica(ctx, database)
	closers = append(closers, writing.close)
	if err != nil {
		return nil, err
	}
	reading, err := openReplica(ctx, database)
	closers = append(closers, reading.close)
	if err != nil {
		return nil, err
	}
	plain, err := baseline.NewInserter(ctx, database, watchedWriters)
	if err != nil {
		return nil, err
	}
	closers = append(closers, func() error { plain.Close(); return nil })
	events, err := payloads()
	if err != nil {
		return nil, err
	}
	packed := make([][]byte, len(events))
	for i := range events {
		packed[i] = s2.Encode(nil, events[i].Data)
	}
	lasts := full(e, 4*time.Second, 500*time.Millisecond)
	var drained time.Duration
	samples, err := e.alternate(ctx, "watched", side{"ours", func(ctx context.Context, round int) (float64, error) {
		if err := e.stores.Settle(ctx); err != nil {
			return 0, err
		}
		return e.profiled("watched", func() (float64, error) {
			rate, took, err := appendWatched(ctx, writing, reading.follower, events, lasts)
			if round > 0 {
				drained = max(drained, took)
			}
			return rate, err
		})
	}}, side{"baseline", func(ctx context.Context, _ int) (float64, error) {
		if err := e.stores.Settle(ctx); err != nil {
			return 0, err
		}
		builds := newBuildIDs()
		return inParallel(ctx, watchedWriters, lasts, func(ctx context.Context, writer, n int) error {
			k := (writer*31 + n) % len(events)
			d := &events[k]
			row := baseline.Event{
				Organization: d.Organization, Pipeline: d.Pipeline, Number: d.Number,
				BuildID: builds[(writer+n)%len(builds)], Type: d.Type, Payload: packed[k],
			}
			_, _ = rand.Read(row.Key[:])
			return plain.Insert(ctx, &row)
		})
	}})
	if err != nil {
		return nil, err
	}
	return []measure.Line{{
		Name: "appends, 32 writers, to 100 builds followed at another replica", Unit: measure.PerSecond,
		Ours: samples[0], Baseline: samples[1], Target: measure.AtLeast(1.3),
		Notes: []string{fmt.Sprintf("the last watcher had everything at most %s after the last append", drained.Round(time.Millisecond))},
	}}, nil
}

// replica is what a replica has to append events and to follow them.
type replica struct {
	store    *db.Postgres
	bus      *stream.NotificationsBus
	follower *stream.Follower
}

// openReplica returns what is to be closed even if it failed.
func openReplica(ctx context.Context, database string) (*replica, error) {
	r := &replica{}
	var err error
	if r.store, err = db.OpenPostgres(ctx, db.PostgresOptions{URL: database}); err != nil {
		return r, err
	}
	channel, err := r.store.NotifyChannel(ctx)
	if err != nil {
		return r, err
	}
	transport, err := stream.NewPostgresTransport(stream.PostgresOptions{URL: database, Channel: channel, Send: r.store.Notify})
	if err != nil {
		return r, err
	}
	r.bus = stream.NewNotificationsBus(stream.BusOptions{Transport: transport})
	r.follower = stream.NewFollower(stream.FollowerOptions{Builds: r.store, Stream: wholeStream{r.store}, Bus: r.bus})
	return r, nil
}

func (r *replica) close() error {
	var errs []error
	if r.follower != nil {
		errs = append(errs, r.follower.Close(), r.bus.Close())
	}
	if r.store != nil {
		errs = append(errs, r.store.Close())
	}
	return errors.Join(errs...)
}

// append appends an event and hints at it, as the server does.
func (r *replica) append(ctx context.Context, d db.Delivery) error {
	if _, err := r.store.Append(ctx, d); err != nil {
		return err
	}
	r.bus.Notify(stream.EventsChannel)
	r.bus.Notify(stream.BuildChannel(d.BuildID))
	return nil
}

// wholeStream is a store's whole stream as followers read it.
type wholeStream struct{ db.Store }

func (s wholeStream) ReadStream(ctx context.Context, q stream.Filter, after int64, limit int) ([]stream.Event, error) {
	return s.ReadAll(ctx, db.ReadQuery{After: after, Limit: limit, Organization: q.Organization, Pipeline: q.Pipeline, Types: q.Types})
}

func newBuildIDs() []string {
	ids := make([]string, watchedBuilds)
	prefix := rand.Text()
	for i := range ids {
		ids[i] = fmt.Sprintf("%s-%d", prefix, i)
	}
	return ids
}

// lastType is that of the event that is appended last to each build; whoever
// follows the build ends there.
const lastType = "build.bench_last"

// appendWatched appends to new builds that are watched, and returns the rate, and
// how long after the last append the watchers had everything.
func appendWatched(ctx context.Context, to *replica, follower *stream.Follower, events []db.Delivery, lasts time.Duration) (rate float64, drained time.Duration, err error) {
	builds := newBuildIDs()
	reading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var watchers sync.WaitGroup
	defer watchers.Wait() // and all that is returned before has them stop
	for _, build := range builds {
		source, err := follower.Build(build, 0)
		if err != nil {
			stop(err)
			break
		}
		watchers.Go(func() {
			defer source.Close()
			if err := readToLast(reading, source); err != nil {
				stop(fmt.Errorf("watch a build: %w", err))
			}
		})
	}
	one := func(ctx context.Context, d db.Delivery, build string) error {
		_, _ = rand.Read(d.Key[:])
		d.BuildID = build
		return to.append(ctx, d)
	}
	rate, err = inParallel(reading, watchedWriters, lasts, func(ctx context.Context, writer, n int) error {
		return one(ctx, events[(writer*31+n)%len(events)], builds[(writer+n)%len(builds)])
	})
	if err != nil {
		stop(err)
		return 0, 0, err
	}
	ended := time.Now()
	for _, build := range builds {
		last := events[0]
		last.Type = lastType
		if err := one(ctx, last, build); err != nil {
			stop(err)
			return 0, 0, err
		}
	}
	timer := time.AfterFunc(catchUpTimeout, func() { stop(errors.New("the watchers did not see everything")) })
	defer timer.Stop()
	watchers.Wait()
	return rate, time.Since(ended), context.Cause(reading)
}

// readToLast reads a build's events up to the last. Each has to follow the one
// before.
func readToLast(ctx context.Context, source *stream.EventSource) error {
	for seq := int64(0); ; seq++ {
		e, err := source.Next(ctx)
		switch {
		case err != nil:
			return err
		case e.Seq != seq:
			return fmt.Errorf("event %d comes where %d is due", e.Seq, seq)
		case e.Type == lastType:
			return nil
		}
	}
}
