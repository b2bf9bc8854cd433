package db

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// fenced is the SQLSTATE of move_cursor's refusal.
const fenced = "BT001"

// Cursor is Store.Cursor.
func (p *Postgres) Cursor(ctx context.Context, name string) (Cursor, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rows, err := p.pool.Query(ctx, `SELECT position, generation FROM cursors WHERE name = $1`, clean(name, maxName))
	if err != nil {
		return Cursor{}, p.fail("read the cursor", err)
	}
	var c Cursor
	if _, err := pgx.ForEachRow(rows, []any{&c.Position, &c.Generation}, func() error { return nil }); err != nil {
		return Cursor{}, p.fail("read the cursor", err)
	}
	return c, nil
}

// Begin is Store.Begin.
func (p *Postgres) Begin(ctx context.Context, name string, c Cursor) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := p.pool.Exec(ctx, `SELECT begin_generation($1, $2, $3)`, clean(name, maxName), c.Position, clean(c.Generation, maxName))
	if sqlState(err) == fenced {
		return ErrFenced
	}
	if err != nil {
		return p.fail("begin a generation", err)
	}
	return nil
}

// Commit is Store.Commit. Its statements go in one round trip and are one
// transaction, the fence first.
func (p *Postgres) Commit(ctx context.Context, b Batch) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var batch pgx.Batch
	batch.Queue(`SELECT move_cursor($1, $2, $3, $4)`, clean(b.Cursor, maxName), clean(b.Generation, maxName), b.From, b.To)
	if len(b.Rows) > 0 {
		batch.Queue(upsertRows, p.rowArrays(distinctRows(b.Rows))...)
	}
	queueWants(&batch, distinctWants(b.Wants))
	for _, a := range b.Aside {
		batch.Queue(setAside, a.Position, clean(a.Reason, maxReason))
	}
	err := p.pool.SendBatch(ctx, &batch).Close()
	if sqlState(err) == fenced {
		return ErrFenced
	}
	if err != nil {
		return p.fail("commit the batch", err)
	}
	return nil
}

// upsertRows takes rowArrays.
const upsertRows = `INSERT INTO builds (` + rowColumns + `, snapshot)
	SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::smallint[],
		$9::bigint[], $10::bigint[], $11::bigint[], $12::text[], $13::bigint[], $14::timestamptz[], $15::timestamptz[], $16::bytea[])` + replaceRow

// rowArrays returns rows as one array for each column.
func (p *Postgres) rowArrays(rows []Row) []any {
	n := len(rows)
	ids, organizations, pipelines, branches := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	states, statuses, parents := make([]string, n), make([]string, n), make([]string, n)
	numbers, revs, classes := make([]int64, n), make([]int64, n), make([]int16, n)
	failures, firsts, lasts := make([]int64, n), make([]int64, n), make([]int64, n)
	createdAt, finishedAt, snapshots := make([]*time.Time, n), make([]*time.Time, n), make([][]byte, n)
	for i := range rows {
		r := &rows[i]
		ids[i], organizations[i], pipelines[i], branches[i] = r.ID, r.Organization, r.Pipeline, r.Branch
		states[i], statuses[i], parents[i] = r.State, string(r.Status), r.ParentID
		numbers[i], revs[i], classes[i] = r.Number, r.Rev, int16(r.Class)
		failures[i], firsts[i], lasts[i] = int64(r.Streak.Failures), r.Streak.FirstFailed, r.Streak.LastPassed
		createdAt[i], finishedAt[i] = timeOrNull(r.CreatedAt), timeOrNull(r.FinishedAt)
		snapshots[i] = p.group.packer.pack(r.Snapshot)
	}
	return []any{
		ids, organizations, pipelines, numbers, branches, states, statuses, classes,
		failures, firsts, lasts, parents, revs, createdAt, finishedAt, snapshots,
	}
}

const setAside = `INSERT INTO set_aside (position, build_id, reason)
	VALUES ($1, (SELECT build_id FROM events WHERE position = $1), $2)
	ON CONFLICT (position) DO UPDATE SET reason = excluded.reason, set_at = now()`

// SetAside is Store.SetAside.
func (p *Postgres) SetAside(ctx context.Context, position int64, reason string) error {
	return p.exec(ctx, "set an event aside", setAside, position, clean(reason, maxReason))
}

// ClearSetAside is Store.ClearSetAside.
func (p *Postgres) ClearSetAside(ctx context.Context, buildID string) error {
	return p.exec(ctx, "clear events set aside", `DELETE FROM set_aside WHERE build_id = $1`, clean(buildID, maxName))
}

// CountSetAside is Store.CountSetAside.
func (p *Postgres) CountSetAside(ctx context.Context) (int64, error) {
	return p.count(ctx, "count events set aside", `SELECT count(*) FROM set_aside`)
}

func (p *Postgres) exec(ctx context.Context, op, query string, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if _, err := p.pool.Exec(ctx, query, args...); err != nil {
		return p.fail(op, err)
	}
	return nil
}
