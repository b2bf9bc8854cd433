package db

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
)

// Work is Store.Work.
func (p *Postgres) Work(ctx context.Context, o WorkOptions) error {
	return work(ctx, riverpgxv5.New(p.pool), o)
}

// CountJobs is Store.CountJobs.
func (p *Postgres) CountJobs(ctx context.Context) (int64, error) {
	return p.count(ctx, "count jobs", jobsWaiting)
}

// migratePostgresJobs is migrateJobs, by one process at a time.
func migratePostgresJobs(ctx context.Context, url string) error {
	// One connection holds the lock until it is closed, another migrates.
	pool, err := openPool(ctx, url, 2, 0)
	if err != nil {
		return err
	}
	defer pool.Close()
	return pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		if _, err := conn.Exec(ctx, "SET lock_timeout = 0"); err != nil {
			return err
		}
		if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock("+migrationLockKey+")"); err != nil {
			return err
		}
		return migrateJobs(ctx, riverpgxv5.New(pool))
	})
}
