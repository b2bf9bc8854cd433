package db

import (
	"context"
	"errors"
)

// ReadAllQuery is the query of ReadAll; $1 to $3 are size, after and limit.
func ReadAllQuery() string {
	clauses, _ := readClauses(ReadQuery{After: 1, Limit: 1}, []any{maxRead})
	return readAllQuery(clauses)
}

// ReadBuildQuery is the query of ReadBuild; $1 to $6 are size, team, day, build,
// from and limit.
func ReadBuildQuery() string { return readBuildQuery() }

// Settings returns a setting of the sessions of both pools.
func (p *Postgres) Settings(ctx context.Context, name string) (pool, appends string, err error) {
	const query = `SELECT current_setting($1)`
	err = errors.Join(
		p.pool.QueryRow(ctx, query, name).Scan(&pool),
		p.appends.QueryRow(ctx, query, name).Scan(&appends),
	)
	return pool, appends, err
}
