package db

import (
	"cmp"
	"context"
	"database/sql"
	"time"
)

// want raises a notice, or makes it. One that was settled is due at once; one
// that waits for its next try keeps waiting.
func want(ctx context.Context, tx *sql.Tx, w Want, now time.Time) error {
	if w.Create {
		if _, err := tx.ExecContext(ctx, `INSERT INTO notices (build_id, kind, wanted_rev, next_try_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT DO NOTHING`, w.BuildID, w.Kind, w.Rev, now.UnixMicro()); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, `UPDATE notices SET wanted_rev = $3,
			next_try_at = CASE WHEN wanted_rev <= sent_rev THEN $4 ELSE next_try_at END
		WHERE build_id = $1 AND kind = $2 AND wanted_rev < $3`, w.BuildID, w.Kind, w.Rev, now.UnixMicro())
	return err
}

// Claim is Store.Claim. An attempt begins with it: until a receipt or a
// postponement says otherwise its outcome is uncertain, so an expired claim
// leaves the mark for the next one.
func (s *SQLite) Claim(ctx context.Context, limit int, ttl time.Duration) ([]Notice, error) {
	var claimed []Notice
	err := s.write(ctx, "claim notices", callTimeout, func(ctx context.Context, tx *sql.Tx) error {
		now := time.Now()
		rows, err := tx.QueryContext(ctx, `SELECT `+noticeColumns+`, n.uncertain FROM notices n
			WHERE wanted_rev > sent_rev AND next_try_at <= $1 AND (claimed_until IS NULL OR claimed_until <= $1)
			ORDER BY next_try_at, build_id, kind LIMIT $2`, now.UnixMicro(), pageSize(limit))
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			n, err := scanSQLiteNotice(rows)
			if err != nil {
				return err
			}
			claimed = append(claimed, n)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		for i := range claimed {
			n := &claimed[i]
			if err := tx.QueryRowContext(ctx, `UPDATE notice_token SET latest = latest + 1 RETURNING latest`).Scan(&n.Token); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `UPDATE notices SET token = $3, claimed_until = $4, uncertain = 1 WHERE build_id = $1 AND kind = $2`,
				n.BuildID, n.Kind, n.Token, now.Add(ttl).UnixMicro()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return claimed, nil
}

// Notices is Store.Notices.
func (s *SQLite) Notices(ctx context.Context, buildIDs []string) ([]Notice, error) {
	list, err := jsonList(buildIDs)
	if err != nil {
		return nil, err
	}
	var found []Notice
	err = s.query(ctx, "read notices", func(rows *sql.Rows) error {
		n, err := scanSQLiteNotice(rows)
		found = append(found, n)
		return err
	}, `SELECT `+noticeColumns+`, n.uncertain FROM notices n
		WHERE build_id IN (SELECT value FROM json_each($1)) ORDER BY build_id, kind`, list)
	if err != nil {
		return nil, err
	}
	return found, nil
}

func scanSQLiteNotice(rows *sql.Rows) (n Notice, err error) {
	var sentAt *int64
	err = rows.Scan(n.dest(&n.Uncertain, &sentAt)...)
	n.SentAt = fromMicros(sentAt)
	return n, err
}

// Extend is Store.Extend.
func (s *SQLite) Extend(ctx context.Context, n Notice, ttl time.Duration) error {
	return s.settle(ctx, "extend a claim", `claimed_until = $4`, n, time.Now().Add(ttl).UnixMicro())
}

// Receipt is Store.Receipt.
func (s *SQLite) Receipt(ctx context.Context, n Notice, r Receipt) error {
	const settled = `sent_rev = $4, next_try_at = $5, attempts = 0, last_error = '', uncertain = 0, claimed_until = NULL, `
	now := time.Now().UnixMicro()
	change, args := settled+`body_hash = NULL`, []any{n.BuildID, n.Kind, n.Token, r.SentRev, now}
	if !r.Unsent {
		change = settled + `sent_at = $5, body_hash = $6, channel = $7, ts = $8`
		args = append(args, r.BodyHash, clean(r.Channel, maxName), clean(r.TS, maxName))
	}
	return s.write(ctx, "write a receipt", callTimeout, func(ctx context.Context, tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `UPDATE notices SET `+change+claimed, args...)
		if err != nil {
			return err
		}
		if changed, err := result.RowsAffected(); err != nil || changed == 0 {
			return cmp.Or(err, ErrLostClaim)
		}
		return s.appendOwn(ctx, tx, r.Own)
	})
}

// Postpone is Store.Postpone.
func (s *SQLite) Postpone(ctx context.Context, n Notice, o Postponement) error {
	return s.settle(ctx, "postpone a notice", `next_try_at = $4, attempts = attempts + $5, last_error = $6, uncertain = $7, claimed_until = NULL`,
		n, time.Now().Add(o.Wait).UnixMicro(), failedAttempts(o), clean(o.Reason, maxReason), o.Uncertain)
}

// settle changes a claimed notice; $4 and on are args.
func (s *SQLite) settle(ctx context.Context, op, change string, n Notice, args ...any) error {
	changed, err := s.exec(ctx, op, `UPDATE notices SET `+change+claimed, append([]any{n.BuildID, n.Kind, n.Token}, args...)...)
	if err == nil && changed == 0 {
		err = ErrLostClaim
	}
	return err
}

// CountDue is Store.CountDue.
func (s *SQLite) CountDue(ctx context.Context) (int64, error) {
	return s.count(ctx, "count due notices", `SELECT count(*) FROM notices WHERE wanted_rev > sent_rev`)
}

// OldestDue is Store.OldestDue.
func (s *SQLite) OldestDue(ctx context.Context) (int64, error) {
	return s.count(ctx, "find the oldest due notice", `SELECT coalesce(min(wanted_rev), 0) FROM notices WHERE wanted_rev > sent_rev`)
}
