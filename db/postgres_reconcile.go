package db

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

// Organizations is Store.Organizations.
func (p *Postgres) Organizations(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rows, err := p.pool.Query(ctx, organizations, maxOrganizations)
	if err != nil {
		return nil, p.fail("list organizations", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, p.fail("list organizations", err)
	}
	return names, nil
}

// Reconciliation is Store.Reconciliation.
func (p *Postgres) Reconciliation(ctx context.Context, name string) (state string, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err = p.pool.QueryRow(ctx, reconciliation, clean(name, maxName)).Scan(&state)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return "", p.fail("read a reconciliation", err)
	}
	return state, nil
}

// SetReconciliation is Store.SetReconciliation.
func (p *Postgres) SetReconciliation(ctx context.Context, name, state string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	statement, args := setReconciliation, []any{clean(name, maxName), state}
	if state == "" {
		statement, args = removeReconciliation, args[:1]
	}
	if _, err := p.pool.Exec(ctx, statement, args...); err != nil {
		return p.fail("write a reconciliation", err)
	}
	return nil
}

// CountLosses is Store.CountLosses.
func (p *Postgres) CountLosses(ctx context.Context, q LossQuery) (l Losses, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := p.pool.QueryRow(ctx, losses(`'-infinity'`), q.Since, q.Before).Scan(&l.Gaps, &l.Unfinished); err != nil {
		return Losses{}, p.fail("count lost builds", err)
	}
	return l, nil
}
