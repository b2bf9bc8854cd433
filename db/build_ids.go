package db

import (
	"context"
	"database/sql"

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
