package db

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

//go:embed migrations/postgres/*.sql migrations/sqlite/*.sql
var migrations embed.FS

// migrateTimeout bounds all migrations together, the wait for another replica's
// included.
const migrateTimeout = 10 * time.Minute

// Migrate brings the schema of the PostgreSQL database at url up to date: the
// first one in its search path. Of several processes one migrates; the others
// wait for it: by a lock of the session, which a pooler must not share out by
// transaction.
func Migrate(ctx context.Context, url string) error {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, migrateTimeout)
	defer cancel()
	pool := stdlib.OpenDB(*config, stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
		// A migration may take as long as it takes.
		return configure(ctx, conn, 0, 0)
	}))
	defer func() { _ = pool.Close() }()
	if err := migrate(ctx, pool, database.DialectPostgres, "migrations/postgres", goose.WithSessionLocker(migrationLock{})); err != nil {
		if err = inOneLine(err); errors.As(err, new(*connectError)) {
			return fmt.Errorf("%w (DATABASE_URL says where it is)", err)
		}
		return fmt.Errorf("migrate: %w", err)
	}
	if err := migratePostgresJobs(ctx, url); err != nil {
		return fmt.Errorf("migrate the job queue: %w", err)
	}
	return nil
}

func migrate(ctx context.Context, db *sql.DB, dialect database.Dialect, folder string, options ...goose.ProviderOption) error {
	provider, err := newMigrator(db, dialect, folder, options...)
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

func newMigrator(db *sql.DB, dialect database.Dialect, folder string, options ...goose.ProviderOption) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, folder)
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(dialect, db, files, append(options, goose.WithDisableGlobalRegistry(true))...)
}

// migrationLock is a session's advisory lock, one for each schema. It waits
// where goose's own asks again after seconds.
type migrationLock struct{}

const migrationLockKey = `hashtextextended(current_schema() || ' build-tracker migrations', 0)`

// SessionLock returns when the lock is held.
func (migrationLock) SessionLock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock("+migrationLockKey+")")
	return err
}

// SessionUnlock gives the lock up.
func (migrationLock) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "SELECT pg_advisory_unlock("+migrationLockKey+")")
	return err
}
