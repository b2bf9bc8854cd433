package db

import (
	"context"
	"database/sql"
	"errors"

	"github.com/pressly/goose/v3/database"
)

// ReadAllQuery is the query of ReadAll; $1 to $3 are size, after and limit.
func ReadAllQuery() string {
	clauses, _ := readClauses(ReadQuery{After: 1, Limit: 1}, []any{maxRead})
	return readAllQuery(clauses)
}

// ReadBuildQuery is the query of ReadBuild for a build's stamp; $1 to $3 are build,
// from and limit.
func ReadBuildQuery(stamp string) string { return readBuildQuery(stamp) }

// LastToldQuery is the query of LastTold for a build's stamp; $1 is the build.
func LastToldQuery(stamp string) string { return lastToldQuery(stamp) }

// BranchQueryText is the query of Branch; $1 to $5 are the branch's names, from and to.
func BranchQueryText() string { return postgresNewest().branch() }

// EachOfBuildQuery is that of EachOfBuilds for a build's stamp; $1 to $4 are build,
// from, up to and limit.
func EachOfBuildQuery(stamp string) string { return eachOfBuildQuery(stamp) }

// PostgresMigrateDown and SQLiteMigrateDown take a schema back to a version.
func PostgresMigrateDown(ctx context.Context, pool *sql.DB, version int64) error {
	return migrateDown(ctx, pool, database.DialectPostgres, "migrations/postgres", version)
}

// SQLiteMigrateDown is PostgresMigrateDown for a file.
func SQLiteMigrateDown(ctx context.Context, file *sql.DB, version int64) error {
	return migrateDown(ctx, file, database.DialectSQLite3, "migrations/sqlite", version)
}

func migrateDown(ctx context.Context, pool *sql.DB, dialect database.Dialect, folder string, version int64) error {
	provider, err := newMigrator(pool, dialect, folder)
	if err != nil {
		return err
	}
	_, err = provider.DownTo(ctx, version)
	return err
}

// Settings returns a setting of the sessions of both pools.
func (p *Postgres) Settings(ctx context.Context, name string) (pool, appends string, err error) {
	const query = `SELECT current_setting($1)`
	err = errors.Join(
		p.pool.QueryRow(ctx, query, name).Scan(&pool),
		p.appends.QueryRow(ctx, query, name).Scan(&appends),
	)
	return pool, appends, err
}
