package baseline

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-redsync/redsync/v4"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/buildkite"
)

// Locked keeps builds in Redis, each under a redsync lock of its own: lock, GET,
// apply, SET, unlock for every event. Reading a payload, applying and encoding
// are build-tracker's own, so that what differs is the way to keep state.
type Locked struct {
	redis *redis.Client
	locks *redsync.Redsync
}

// NewLocked connects to a Redis. The lock's options are redsync's defaults: 32
// tries, 50 to 250 ms apart.
func NewLocked(url string) (*Locked, error) {
	options, err := redis.ParseURL(url)
	if err != nil {
		return nil, fmt.Errorf("state under locks: %w", err)
	}
	options.PoolSize = 64
	client := redis.NewClient(options)
	return &Locked{redis: client, locks: redsync.New(goredis.NewPool(client))}, nil
}

// Close ends the connections.
func (l *Locked) Close() error { return l.redis.Close() }

func buildKey(id string) string { return "baseline:build:" + id }

// Apply folds one payload into its build.
func (l *Locked) Apply(ctx context.Context, payload []byte) (err error) {
	facts, err := buildkite.Facts(payload)
	if err != nil {
		return fmt.Errorf("read a payload: %w", err)
	}
	id := facts.Build.ID
	lock := l.locks.NewMutex("baseline:lock:" + id)
	if err := lock.LockContext(ctx); err != nil {
		return fmt.Errorf("lock build %s: %w", id, err)
	}
	defer func() {
		if _, unlockErr := lock.UnlockContext(ctx); unlockErr != nil {
			err = errors.Join(err, fmt.Errorf("unlock build %s: %w", id, unlockErr))
		}
	}()
	b, err := l.get(ctx, id)
	if err != nil {
		return err
	}
	if b == nil {
		b = build.New(id, facts.Build.Organization, facts.Build.Pipeline, facts.Build.Number)
	}
	b.Apply(&facts)
	if err := l.redis.Set(ctx, buildKey(id), build.Encode(b), 0).Err(); err != nil {
		return fmt.Errorf("set build %s: %w", id, err)
	}
	return nil
}

// get returns a build; nil when there is none.
func (l *Locked) get(ctx context.Context, id string) (*build.Build, error) {
	data, err := l.redis.Get(ctx, buildKey(id)).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get build %s: %w", id, err)
	}
	return build.Decode(data)
}
