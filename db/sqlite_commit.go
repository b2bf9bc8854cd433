package db

import (
	"context"
	"database/sql"
	"time"
)

// Cursor is Store.Cursor.
func (s *SQLite) Cursor(ctx context.Context, name string) (c Cursor, err error) {
	err = s.query(ctx, "read the cursor", func(rows *sql.Rows) error {
		return rows.Scan(&c.Position, &c.Generation, &c.State)
	}, `SELECT position, generation, state FROM cursors WHERE name = $1`, clean(name, maxName))
	return c, err
}

// Begin is Store.Begin.
func (s *SQLite) Begin(ctx context.Context, name string, c Cursor) error {
	return s.write(ctx, "begin a generation", callTimeout, func(ctx context.Context, tx *sql.Tx) error {
		if err := newCursor(ctx, tx, name, c.Position); err != nil {
			return err
		}
		return fence(tx.ExecContext(ctx, `UPDATE cursors SET generation = $3 WHERE name = $1 AND position = $2`,
			clean(name, maxName), c.Position, clean(c.Generation, maxName)))
	})
}

// Commit is Store.Commit.
func (s *SQLite) Commit(ctx context.Context, b Batch) error {
	rows, wants := distinctRows(b.Rows), distinctWants(b.Wants)
	return s.write(ctx, "commit the batch", callTimeout, func(ctx context.Context, tx *sql.Tx) error {
		if err := moveCursor(ctx, tx, b); err != nil {
			return err
		}
		if err := s.upsertRows(ctx, tx, rows); err != nil {
			return err
		}
		if len(b.Jobs) > 0 {
			if _, err := s.jobs.InsertManyTx(ctx, tx, insertions(b.Jobs)); err != nil {
				return err
			}
		}
		for _, w := range wants {
			if err := want(ctx, tx, w, time.Now()); err != nil {
				return err
			}
		}
		for _, a := range b.Aside {
			if _, err := tx.ExecContext(ctx, sqliteSetAside, a.Position, clean(a.Reason, maxReason), time.Now().UnixMicro()); err != nil {
				return err
			}
		}
		return s.appendOwn(ctx, tx, b.Own)
	})
}

// moveCursor returns ErrFenced unless the cursor stands where the batch says.
func moveCursor(ctx context.Context, tx *sql.Tx, b Batch) error {
	if err := newCursor(ctx, tx, b.Cursor, b.From); err != nil {
		return err
	}
	return fence(tx.ExecContext(ctx, `UPDATE cursors SET position = $4, state = CASE WHEN $5 = '' THEN state ELSE $5 END
		WHERE name = $1 AND generation = $2 AND position = $3`,
		clean(b.Cursor, maxName), clean(b.Generation, maxName), b.From, b.To, b.State))
}

// newCursor makes a cursor that is not there: it stands at position 0.
func newCursor(ctx context.Context, tx *sql.Tx, name string, at int64) error {
	if at != 0 {
		return nil
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO cursors (name, position, generation) VALUES ($1, 0, '') ON CONFLICT DO NOTHING`, clean(name, maxName))
	return err
}

// fence returns ErrFenced when an update of the cursor changed nothing.
func fence(result sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		err = ErrFenced
	}
	return err
}

func (s *SQLite) upsertRows(ctx context.Context, tx *sql.Tx, rows []Row) error {
	upsert := tx.StmtContext(ctx, s.insert.row) //nolint:sqlclosecheck // the transaction does
	for i := range rows {
		r := &rows[i]
		if _, err := upsert.ExecContext(ctx, r.ID, r.Organization, r.Pipeline, r.Number, r.Branch, r.State, r.Status, r.Class,
			r.Streak.Failures, r.Streak.FirstFailed, r.Streak.LastPassed, r.ParentID, r.Rev,
			micros(r.CreatedAt), micros(r.FinishedAt), s.group.packer.pack(r.Snapshot)); err != nil {
			return err
		}
	}
	return nil
}

const sqliteSetAside = `INSERT INTO set_aside (position, build_id, reason, set_at)
	VALUES ($1, (SELECT build_id FROM events WHERE position = $1), $2, $3)
	ON CONFLICT DO UPDATE SET reason = excluded.reason, set_at = excluded.set_at`

// SetAside is Store.SetAside.
func (s *SQLite) SetAside(ctx context.Context, position int64, reason string) error {
	_, err := s.exec(ctx, "set an event aside", sqliteSetAside, position, clean(reason, maxReason), time.Now().UnixMicro())
	return err
}

// ClearSetAside is Store.ClearSetAside.
func (s *SQLite) ClearSetAside(ctx context.Context, buildIDs []string) error {
	list, err := jsonList(buildIDs)
	if err != nil {
		return err
	}
	_, err = s.exec(ctx, "clear events set aside", `DELETE FROM set_aside WHERE build_id IN (SELECT value FROM json_each($1))`, list)
	return err
}

// CountSetAside is Store.CountSetAside.
func (s *SQLite) CountSetAside(ctx context.Context) (int64, error) {
	return s.count(ctx, "count events set aside", `SELECT count(*) FROM set_aside`)
}
