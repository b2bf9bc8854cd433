package build

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-redsync/redsync/v4"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"
)

// ErrLeaseTaken: another process has the lease.
var ErrLeaseTaken = errors.New("another process has the lease")

// Lease names the one process that does something, such as fold. It saves work
// and keeps replicas from getting in each other's way; that nothing is written
// twice rests on the database's fence, not on this.
type Lease struct {
	redis redis.UniversalClient
	mutex *redsync.Mutex
	asked string
	ttl   time.Duration
}

// NewLease returns the lease of who folds the store's builds. It lasts ttl unless
// it is extended.
func (s *Store) NewLease(ttl time.Duration) *Lease { return s.newLease("", ttl) }

// NewDuty returns the lease of who does something else, which the name says.
func (s *Store) NewDuty(name string, ttl time.Duration) *Lease { return s.newLease(":"+name, ttl) }

func (s *Store) newLease(duty string, ttl time.Duration) *Lease {
	locks := redsync.New(goredis.NewPool(s.redis))
	return &Lease{
		redis: s.redis,
		mutex: locks.NewMutex(s.key("lease"+duty), redsync.WithExpiry(ttl), redsync.WithTries(1), redsync.WithTimeoutFactor(0.2)),
		asked: s.key("asked" + duty),
		ttl:   ttl,
	}
}

// Take takes the lease if it is free, else returns ErrLeaseTaken.
func (l *Lease) Take(ctx context.Context) error {
	err := l.mutex.LockContext(ctx)
	if errors.As(err, new(*redsync.ErrTaken)) || errors.Is(err, redsync.ErrFailed) {
		return ErrLeaseTaken
	}
	if err != nil {
		return fmt.Errorf("take lease: %w", err)
	}
	return nil
}

// Extend prolongs the lease to its full length from now. ErrLeaseTaken if it
// is not ours any more; any other error means that it may run out.
func (l *Lease) Extend(ctx context.Context) error {
	_, err := l.mutex.ExtendContext(ctx)
	if errors.As(err, new(*redsync.ErrTaken)) {
		return ErrLeaseTaken
	}
	if err != nil {
		return fmt.Errorf("extend lease: %w", err)
	}
	return nil
}

// Release hands the lease over.
func (l *Lease) Release(ctx context.Context) error {
	if _, err := l.mutex.UnlockContext(ctx); err != nil {
		return fmt.Errorf("release lease: %w", err)
	}
	return nil
}

// Ask asks whoever has the lease to hand it over, and others not to take it,
// for the next ttl.
func (l *Lease) Ask(ctx context.Context) error {
	if err := l.redis.Set(ctx, l.asked, 1, l.ttl).Err(); err != nil {
		return fmt.Errorf("ask for the lease: %w", err)
	}
	return nil
}

// Asked says whether somebody asks for the lease.
func (l *Lease) Asked(ctx context.Context) (bool, error) {
	n, err := l.redis.Exists(ctx, l.asked).Result()
	if err != nil {
		return false, fmt.Errorf("look who asks for the lease: %w", err)
	}
	return n > 0, nil
}

// Unask ends what Ask began.
func (l *Lease) Unask(ctx context.Context) error {
	if err := l.redis.Del(ctx, l.asked).Err(); err != nil {
		return fmt.Errorf("stop asking for the lease: %w", err)
	}
	return nil
}
