package db

import (
	"context"
	"database/sql"
	"errors"

	"github.com/jackc/pgx/v5"
)

// buildIDs selects builds that have events, a row, or both. Each side is cut
// short by itself, so that a page costs the same however many builds there are.
const buildIDs = `SELECT id FROM (
	SELECT id FROM (SELECT build_id AS id FROM build_seqs WHERE build_id > $1 ORDER BY build_id LIMIT $2) AS stamped
	UNION
	SELECT id FROM (SELECT id FROM builds WHERE id > $1 ORDER BY id LIMIT $2) AS tracked
) AS known ORDER BY id LIMIT $2`

// BuildIDs is Store.BuildIDs.
func (p *Postgres) BuildIDs(ctx context.Context, after string, limit int) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rows, err := p.pool.Query(ctx, buildIDs, clean(after, maxName), pageSize(limit))
	if err != nil {
		return nil, p.fail("list builds", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, p.fail("list builds", err)
	}
	return ids, nil
}

// BuildIDs is Store.BuildIDs.
func (s *SQLite) BuildIDs(ctx context.Context, after string, limit int) ([]string, error) {
	var ids []string
	err := s.query(ctx, "list builds", func(rows *sql.Rows) error {
		var id string
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	}, buildIDs, clean(after, maxName), pageSize(limit))
	if err != nil {
		return nil, err
	}
	return ids, nil
}

// unread selects what Unread returns.
const unread = `SELECT build_id FROM events WHERE organization = $2 AND pipeline = $3 AND number = $4 AND build_id IS NOT NULL
	AND position > coalesce((SELECT position FROM cursors WHERE name = $1), 0) ORDER BY position DESC LIMIT 1`

// Unread is Store.Unread.
func (p *Postgres) Unread(ctx context.Context, cursor, organization, pipeline string, number int64) (id string, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err = p.pool.QueryRow(ctx, unread, clean(cursor, maxName), clean(organization, maxName), clean(pipeline, maxName), number).Scan(&id)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return "", p.fail("find a build by its events", err)
	}
	return id, nil
}

// Unread is Store.Unread.
func (s *SQLite) Unread(ctx context.Context, cursor, organization, pipeline string, number int64) (id string, err error) {
	err = s.query(ctx, "find a build by its events", func(rows *sql.Rows) error { return rows.Scan(&id) },
		unread, clean(cursor, maxName), clean(organization, maxName), clean(pipeline, maxName), number)
	return id, err
}
