package db

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// postgresNewest is as the indexes of builds have it.
func postgresNewest() newest {
	return newest{created: `coalesce(created_at, '-infinity')`, given: `coalesce(%::timestamptz, '-infinity')`}
}

// Builds is Store.Builds.
func (p *Postgres) Builds(ctx context.Context, ids []string) ([]Row, error) {
	return p.rows(ctx, "read builds", `WHERE id = ANY($1)`, cleanAll(ids))
}

// ChildIDs is Store.ChildIDs.
func (p *Postgres) ChildIDs(ctx context.Context, parentIDs []string) (map[string][]string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rows, err := p.pool.Query(ctx, `SELECT parent_id, id FROM builds WHERE parent_id = ANY($1) AND parent_id <> '' ORDER BY id`, cleanAll(parentIDs))
	if err != nil {
		return nil, p.fail("read triggered builds", err)
	}
	children := make(map[string][]string)
	var parent, id string
	if _, err := pgx.ForEachRow(rows, []any{&parent, &id}, func() error {
		children[parent] = append(children[parent], id)
		return nil
	}); err != nil {
		return nil, p.fail("read triggered builds", err)
	}
	return children, nil
}

// Branch is Store.Branch.
func (p *Postgres) Branch(ctx context.Context, branches []BranchQuery) ([][]Row, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var batch pgx.Batch
	result := make([][]Row, len(branches))
	for i, q := range branches {
		batch.Queue(postgresNewest().branch(), branchArgs(q)...).Query(func(rows pgx.Rows) (err error) {
			result[i], err = collectRows(rows, false)
			return err
		})
	}
	if err := p.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, p.fail("read branches", err)
	}
	return result, nil
}

// Find is Store.Find.
func (p *Postgres) Find(ctx context.Context, organization, pipeline string, number int64) ([]Row, error) {
	where, args := postgresNewest().find(organization, pipeline, number)
	return p.rows(ctx, "find builds", where, args...)
}

// List is Store.List.
func (p *Postgres) List(ctx context.Context, q ListQuery) ([]Row, error) {
	where, args := postgresNewest().list(q, timeOrNull(q.BeforeCreated))
	return p.rows(ctx, "list builds", where, args...)
}

// Recent is Store.Recent.
func (p *Postgres) Recent(ctx context.Context, since time.Time, afterID string, limit int) ([]Row, error) {
	return p.rows(ctx, "read recent builds", `WHERE id > $2 AND (finished_at IS NULL OR finished_at > $1) ORDER BY id LIMIT $3`,
		since, clean(afterID, maxName), pageSize(limit))
}

// CountBuilds is Store.CountBuilds.
func (p *Postgres) CountBuilds(ctx context.Context) (int64, error) {
	return p.count(ctx, "count builds", `SELECT count(*) FROM builds`)
}

func (p *Postgres) count(ctx context.Context, op, query string) (n int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := p.pool.QueryRow(ctx, query).Scan(&n); err != nil {
		return 0, p.fail(op, err)
	}
	return n, nil
}

// rows returns the rows that the clauses after FROM select, with snapshots.
func (p *Postgres) rows(ctx context.Context, op, clauses string, args ...any) ([]Row, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rows, err := p.pool.Query(ctx, `SELECT `+rowColumns+`, snapshot FROM builds `+clauses, args...)
	if err != nil {
		return nil, p.fail(op, err)
	}
	found, err := collectRows(rows, true)
	if err != nil {
		return nil, p.fail(op, err)
	}
	return found, nil
}

func collectRows(rows pgx.Rows, snapshot bool) ([]Row, error) {
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r Row, err error) {
		var createdAt, finishedAt *time.Time
		dest := r.dest(&createdAt, &finishedAt)
		if snapshot {
			dest = append(dest, &r.Snapshot)
		}
		if err := row.Scan(dest...); err != nil {
			return r, err
		}
		r.CreatedAt, r.FinishedAt = deref(createdAt).UTC(), deref(finishedAt).UTC()
		r.unpackSnapshot()
		return r, nil
	})
}

// timeOrNull returns nil for the zero time.
func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func cleanAll(ids []string) []string {
	cleaned := make([]string, len(ids))
	for i, id := range ids {
		cleaned[i] = clean(id, maxName)
	}
	return cleaned
}
