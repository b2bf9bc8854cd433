package db

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// queueWants adds wants, one for each notice, to a transaction. A notice that was
// settled is due at once; one that waits for its next try keeps waiting.
func queueWants(batch *pgx.Batch, wants []Want) {
	if len(wants) == 0 {
		return
	}
	builds, kinds := make([]string, len(wants)), make([]string, len(wants))
	revs, create := make([]int64, len(wants)), make([]bool, len(wants))
	for i, w := range wants {
		builds[i], kinds[i], revs[i], create[i] = w.BuildID, w.Kind, w.Rev, w.Create
	}
	const given = ` FROM unnest($1::text[], $2::text[], $3::bigint[], $4::boolean[]) AS w(build_id, kind, rev, make) `
	const due = `next_try_at = CASE WHEN n.wanted_rev <= n.sent_rev THEN now() ELSE n.next_try_at END`
	batch.Queue(`UPDATE notices n SET wanted_rev = w.rev, `+due+given+`
		WHERE NOT w.make AND n.build_id = w.build_id AND n.kind = w.kind AND n.wanted_rev < w.rev`, builds, kinds, revs, create)
	batch.Queue(`INSERT INTO notices AS n (build_id, kind, wanted_rev) SELECT w.build_id, w.kind, w.rev`+given+`WHERE w.make
		ON CONFLICT (build_id, kind) DO UPDATE SET wanted_rev = excluded.wanted_rev, `+due+`
		WHERE n.wanted_rev < excluded.wanted_rev`, builds, kinds, revs, create)
}

// Claim is Store.Claim. An attempt begins with it: until a receipt or a
// postponement says otherwise its outcome is uncertain, so an expired claim
// leaves the mark for the next one.
func (p *Postgres) Claim(ctx context.Context, limit int, ttl time.Duration) ([]Notice, error) {
	return p.notices(ctx, "claim notices", `WITH due AS MATERIALIZED (
			SELECT build_id, kind, uncertain FROM notices
			WHERE wanted_rev > sent_rev AND next_try_at <= now() AND (claimed_until IS NULL OR claimed_until <= now())
			ORDER BY next_try_at, build_id, kind LIMIT $1 FOR UPDATE SKIP LOCKED
		)
		UPDATE notices n SET token = nextval('notice_tokens'), claimed_until = now() + $2::interval, uncertain = true
		FROM due d WHERE n.build_id = d.build_id AND n.kind = d.kind
		RETURNING `+noticeColumns+`, d.uncertain`, pageSize(limit), ttl)
}

// Notices is Store.Notices.
func (p *Postgres) Notices(ctx context.Context, buildIDs []string) ([]Notice, error) {
	return p.notices(ctx, "read notices", `SELECT `+noticeColumns+`, n.uncertain FROM notices n
		WHERE build_id = ANY($1) ORDER BY build_id, kind`, cleanAll(buildIDs))
}

func (p *Postgres) notices(ctx context.Context, op, query string, args ...any) ([]Notice, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rows, err := p.pool.Query(ctx, query, args...)
	if err != nil {
		return nil, p.fail(op, err)
	}
	notices, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (n Notice, err error) {
		var sentAt *time.Time
		err = row.Scan(n.dest(&n.Uncertain, &sentAt)...)
		n.SentAt = deref(sentAt).UTC()
		return n, err
	})
	if err != nil {
		return nil, p.fail(op, err)
	}
	return notices, nil
}

// Extend is Store.Extend.
func (p *Postgres) Extend(ctx context.Context, n Notice, ttl time.Duration) error {
	return p.settle(ctx, "extend a claim", `claimed_until = now() + $4::interval`, n, ttl)
}

// Receipt is Store.Receipt.
func (p *Postgres) Receipt(ctx context.Context, n Notice, r Receipt) error {
	const settled = `sent_rev = $4, attempts = 0, last_error = '', uncertain = false, claimed_until = NULL, next_try_at = now(), `
	change, args := settled+`body_hash = NULL`, []any{r.SentRev}
	if !r.Unsent {
		change = settled + `body_hash = $5, channel = $6, ts = $7, sent_at = now()`
		args = []any{r.SentRev, r.BodyHash, clean(r.Channel, maxName), clean(r.TS, maxName)}
	}
	if len(r.Own) == 0 {
		return p.settle(ctx, "write a receipt", change, n, args...)
	}
	return p.settleAnd(ctx, "write a receipt", change, r.Own, n, args...)
}

// Postpone is Store.Postpone.
func (p *Postgres) Postpone(ctx context.Context, n Notice, o Postponement) error {
	return p.settle(ctx, "postpone a notice", `next_try_at = now() + $4::interval, attempts = attempts + $5, last_error = $6, uncertain = $7, claimed_until = NULL`,
		n, o.Wait, failedAttempts(o), clean(o.Reason, maxReason), o.Uncertain)
}

// settle changes a claimed notice; $4 and on are args.
func (p *Postgres) settle(ctx context.Context, op, change string, n Notice, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := settle(ctx, p.pool, change, n, args...)
	if err != nil && !errors.Is(err, ErrLostClaim) {
		return p.fail(op, err)
	}
	return err
}

// settleAnd is settle that appends events of ours in the same transaction.
func (p *Postgres) settleAnd(ctx context.Context, op, change string, own []Own, n Notice, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := p.withPartitions(ctx, own, func() error {
		return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
			if err := settle(ctx, tx, change, n, args...); err != nil {
				return err
			}
			var batch pgx.Batch
			queueOwn(&batch, own)
			return tx.SendBatch(ctx, &batch).Close()
		})
	})
	if err != nil && !errors.Is(err, ErrLostClaim) {
		return p.fail(op, err)
	}
	return err
}

// execer is a pool or a transaction.
type execer interface {
	Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error)
}

func settle(ctx context.Context, db execer, change string, n Notice, args ...any) error {
	tag, err := db.Exec(ctx, `UPDATE notices SET `+change+claimed, append([]any{n.BuildID, n.Kind, n.Token}, args...)...)
	if err == nil && tag.RowsAffected() == 0 {
		err = ErrLostClaim
	}
	return err
}

// CountDue is Store.CountDue.
func (p *Postgres) CountDue(ctx context.Context) (int64, error) {
	return p.count(ctx, "count due notices", `SELECT count(*) FROM notices WHERE wanted_rev > sent_rev`)
}

// OldestDue is Store.OldestDue.
func (p *Postgres) OldestDue(ctx context.Context) (int64, error) {
	return p.count(ctx, "find the oldest due notice", `SELECT coalesce(min(wanted_rev), 0) FROM notices WHERE wanted_rev > sent_rev`)
}
