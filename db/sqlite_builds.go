package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"
)

// sqliteNewest is as the indexes of builds have it.
func sqliteNewest() newest {
	const oldest = `, -9223372036854775808)`
	return newest{created: `coalesce(created_at` + oldest, given: `coalesce(%` + oldest}
}

// Builds is Store.Builds.
func (s *SQLite) Builds(ctx context.Context, ids []string) ([]Row, error) {
	list, err := jsonList(ids)
	if err != nil {
		return nil, err
	}
	return s.rows(ctx, "read builds", `WHERE id IN (SELECT value FROM json_each($1))`, list)
}

// ChildIDs is Store.ChildIDs.
func (s *SQLite) ChildIDs(ctx context.Context, parentIDs []string) (map[string][]string, error) {
	list, err := jsonList(parentIDs)
	if err != nil {
		return nil, err
	}
	children := make(map[string][]string)
	err = s.query(ctx, "read triggered builds", func(rows *sql.Rows) error {
		var parent, id string
		if err := rows.Scan(&parent, &id); err != nil {
			return err
		}
		children[parent] = append(children[parent], id)
		return nil
	}, `SELECT parent_id, id FROM builds WHERE parent_id IN (SELECT value FROM json_each($1)) AND parent_id <> '' ORDER BY id`, list)
	if err != nil {
		return nil, err
	}
	return children, nil
}

// Branch is Store.Branch.
func (s *SQLite) Branch(ctx context.Context, branches []BranchQuery) ([][]Row, error) {
	result := make([][]Row, len(branches))
	for i, q := range branches {
		if err := s.query(ctx, "read branches", func(rows *sql.Rows) error {
			r, err := scanSQLiteRow(rows, false)
			result[i] = append(result[i], r)
			return err
		}, sqliteNewest().branch(), branchArgs(q)...); err != nil {
			return nil, err
		}
	}
	return result, nil
}

// Find is Store.Find.
func (s *SQLite) Find(ctx context.Context, organization, pipeline string, number int64) ([]Row, error) {
	where, args := sqliteNewest().find(organization, pipeline, number)
	return s.rows(ctx, "find builds", where, args...)
}

// List is Store.List.
func (s *SQLite) List(ctx context.Context, q ListQuery) ([]Row, error) {
	where, args := sqliteNewest().list(q, micros(q.BeforeCreated))
	return s.rows(ctx, "list builds", where, args...)
}

// Recent is Store.Recent.
func (s *SQLite) Recent(ctx context.Context, since time.Time, afterID string, limit int) ([]Row, error) {
	return s.rows(ctx, "read recent builds", `WHERE id > $2 AND (finished_at IS NULL OR finished_at > $1) ORDER BY id LIMIT $3`,
		since.UnixMicro(), clean(afterID, maxName), pageSize(limit))
}

// CountBuilds is Store.CountBuilds.
func (s *SQLite) CountBuilds(ctx context.Context) (int64, error) {
	return s.count(ctx, "count builds", `SELECT count(*) FROM builds`)
}

// rows returns the rows that the clauses after FROM select, with snapshots.
func (s *SQLite) rows(ctx context.Context, op, clauses string, args ...any) ([]Row, error) {
	var found []Row
	err := s.query(ctx, op, func(rows *sql.Rows) error {
		r, err := scanSQLiteRow(rows, true)
		found = append(found, r)
		return err
	}, `SELECT `+rowColumns+`, snapshot FROM builds `+clauses, args...)
	if err != nil {
		return nil, err
	}
	return found, nil
}

func scanSQLiteRow(rows *sql.Rows, snapshot bool) (r Row, err error) {
	var createdAt, finishedAt *int64
	dest := r.dest(&createdAt, &finishedAt)
	if snapshot {
		dest = append(dest, &r.Snapshot)
	}
	if err := rows.Scan(dest...); err != nil {
		return r, err
	}
	r.CreatedAt, r.FinishedAt = fromMicros(createdAt), fromMicros(finishedAt)
	r.unpackSnapshot()
	return r, nil
}

// jsonList is ids as json_each takes them: SQLite has no arrays.
func jsonList(ids []string) (string, error) {
	list, err := json.Marshal(cleanAll(ids))
	if err != nil {
		return "", fmt.Errorf("list ids: %w", err)
	}
	return string(list), nil
}
