package buildtracker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/build-tracker/build-tracker/build"
)

// duty is work in the background that one replica at a time does, under a lease
// of its own. As the tracker's, the lease saves work only: what is done twice must
// be refused or harmless.
type duty struct {
	lease *build.Lease
	name  string
	log   *slog.Logger
}

func newDuty(name string, client redis.UniversalClient, log *slog.Logger) *duty {
	state := build.NewStore(client, build.StoreOptions{Namespace: redisNamespace})
	return &duty{lease: state.NewDuty(name, leaseTTL), name: name, log: log}
}

// run does the work whenever this replica has the lease, until ctx ends. The
// work's context ends when the lease does.
func (d *duty) run(ctx context.Context, work func(context.Context)) {
	var quiet sometimes
	for ctx.Err() == nil {
		switch err := d.lease.Take(ctx); {
		case err == nil:
			d.do(ctx, work)
		case !errors.Is(err, build.ErrLeaseTaken) && ctx.Err() == nil:
			quiet.do(func() {
				d.log.Warn("Redis does not answer: work in the background waits for it", "work", d.name, "error", err)
			})
		}
		sleep(ctx, jitter(leaseTTL/4))
	}
}

func (d *duty) do(ctx context.Context, work func(context.Context)) {
	leading, stop := context.WithCancelCause(ctx)
	var keeper sync.WaitGroup
	keeper.Go(func() { stop(keepLease(leading, d.lease.Extend)) })
	defer func() {
		stop(nil)
		keeper.Wait()
		release, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if err := d.lease.Release(release); err != nil {
			d.log.Info("a lease was not handed over, it runs out by itself", "work", d.name, "error", err)
		}
	}()
	work(leading)
}

// keepLease extends a lease of leaseTTL, which begins now, until ctx ends or the
// lease is lost.
func keepLease(ctx context.Context, extend func(context.Context) error) error {
	lasts := time.Now().Add(leaseTTL)
	for {
		if !sleep(ctx, leaseTTL/4) {
			return ctx.Err()
		}
		call, cancel := context.WithTimeout(ctx, leaseTTL/4)
		began := time.Now()
		err := extend(call)
		cancel()
		switch {
		case err == nil:
			lasts = began.Add(leaseTTL)
		case errors.Is(err, errAsked), errors.Is(err, build.ErrLeaseTaken), time.Now().After(lasts.Add(-leaseTTL / 4)):
			return err
		}
	}
}
