package db

import (
	"context"
	"database/sql"
)

// Organizations is Store.Organizations.
func (s *SQLite) Organizations(ctx context.Context) ([]string, error) {
	var names []string
	err := s.query(ctx, "list organizations", func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		names = append(names, name)
		return err
	}, organizations, maxOrganizations)
	if err != nil {
		return nil, err
	}
	return names, nil
}

// Reconciliation is Store.Reconciliation.
func (s *SQLite) Reconciliation(ctx context.Context, name string) (state string, err error) {
	err = s.query(ctx, "read a reconciliation", func(rows *sql.Rows) error { return rows.Scan(&state) },
		reconciliation, clean(name, maxName))
	return state, err
}

// SetReconciliation is Store.SetReconciliation.
func (s *SQLite) SetReconciliation(ctx context.Context, name, state string) error {
	statement, args := setReconciliation, []any{clean(name, maxName), state}
	if state == "" {
		statement, args = removeReconciliation, args[:1]
	}
	_, err := s.exec(ctx, "write a reconciliation", statement, args...)
	return err
}

// CountLosses is Store.CountLosses.
func (s *SQLite) CountLosses(ctx context.Context, q LossQuery) (l Losses, err error) {
	err = s.query(ctx, "count lost builds", func(rows *sql.Rows) error { return rows.Scan(&l.Gaps, &l.Unfinished) },
		losses(`-9223372036854775808`), q.Since.UnixMicro(), q.Before.UnixMicro())
	return l, err
}
