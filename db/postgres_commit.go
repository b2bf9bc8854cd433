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
	rows, err := p.pool.Query(ctx, `SELECT position, generation, state FROM cursors WHERE name = $1`, clean(name, maxName))
	if err != nil {
		return Cursor{}, p.fail("read the cursor", err)
	}
	var c Cursor
	if _, err := pgx.ForEachRow(rows, []any{&c.Position, &c.Generation, &c.State}, func() error { return nil }); err != nil {
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

// Limits of a statement of Commit. More rows go in several: a client that sends
// everything at once holds it several times over.
const (
	commitRows  = 250
	commitBytes = 1 << 20 // of snapshots; one may be larger
)

// Commit is Store.Commit: one transaction, the fence first. Unless there are
// many rows, its statements go in one round trip.
func (p *Postgres) Commit(ctx context.Context, b Batch) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := p.withPartitions(ctx, b.Own, func() error { return p.commitBatch(ctx, b) })
	if sqlState(err) == fenced {
		return ErrFenced
	}
	if err != nil {
		return p.fail("commit the batch", err)
	}
	return nil
}

func (p *Postgres) commitBatch(ctx context.Context, b Batch) error {
	if len(b.Jobs) == 0 {
		return p.writeBatch(ctx, p.pool, b)
	}
	return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		// First, because what the batch does last is to lock the stream's head.
		if _, err := p.jobs.InsertManyTx(ctx, tx, insertions(b.Jobs)); err != nil {
			return err
		}
		return p.writeBatch(ctx, tx, b)
	})
}

// batches is a pool, whose batch is a transaction of its own, or a transaction.
type batches interface {
	Begin(ctx context.Context) (pgx.Tx, error)
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

func (p *Postgres) writeBatch(ctx context.Context, in batches, b Batch) error {
	var batch pgx.Batch
	batch.Queue(`SELECT move_cursor($1, $2, $3, $4)`, clean(b.Cursor, maxName), clean(b.Generation, maxName), b.From, b.To)
	if b.State != "" {
		batch.Queue(`UPDATE cursors SET state = $2 WHERE name = $1`, clean(b.Cursor, maxName), b.State)
	}
	return p.writeRows(ctx, in, &batch, distinctRows(b.Rows), func() {
		queueWants(&batch, distinctWants(b.Wants))
		for _, a := range b.Aside {
			batch.Queue(setAside, a.Position, clean(a.Reason, maxReason))
		}
		queueOwn(&batch, b.Own)
	})
}

// writeRows runs what the batch has, writes rows, and runs what rest adds to it.
func (p *Postgres) writeRows(ctx context.Context, in batches, batch *pgx.Batch, rows []Row, rest func()) error {
	n := commitAtOnce(rows)
	if n > 0 {
		batch.Queue(upsertRows, p.rowArrays(rows[:n])...)
	}
	if n == len(rows) {
		rest()
		return in.SendBatch(ctx, batch).Close()
	}
	return pgx.BeginFunc(ctx, in, func(tx pgx.Tx) error {
		for {
			if err := tx.SendBatch(ctx, batch).Close(); err != nil {
				return err
			}
			*batch = pgx.Batch{}
			if rows = rows[n:]; len(rows) == 0 {
				rest()
				return tx.SendBatch(ctx, batch).Close()
			}
			n = commitAtOnce(rows)
			batch.Queue(upsertRows, p.rowArrays(rows[:n])...)
		}
	})
}

// commitAtOnce is how many of the first rows go in one statement.
func commitAtOnce(rows []Row) (n int) {
	for size := 0; n < len(rows) && n < commitRows; n++ {
		if size += len(rows[n].Snapshot); n > 0 && size > commitBytes {
			break
		}
	}
	return n
}

// upsertRows takes rowArrays. Snapshots come as payloads do in append_events.
const upsertRows = `INSERT INTO builds (` + rowColumns + `, snapshot)
	SELECT id, organization, pipeline, number, branch, state, status, class, failures, first_failed, last_passed,
		parent_id, rev, created_at, finished_at, substring($17::bytea FROM begins + 1 FOR ends - begins)
	FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::smallint[],
		$9::bigint[], $10::bigint[], $11::bigint[], $12::text[], $13::bigint[], $14::timestamptz[], $15::timestamptz[],
		0 || $16::integer[], $16::integer[])
		AS r(` + rowColumns + `, begins, ends)
	WHERE ends IS NOT NULL` + replaceRow

// rowArrays returns rows as one array for each column, and their snapshots.
func (p *Postgres) rowArrays(rows []Row) []any {
	n := len(rows)
	ids, organizations, pipelines, branches := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	states, statuses, parents := make([]string, n), make([]string, n), make([]string, n)
	numbers, revs, classes := make([]int64, n), make([]int64, n), make([]int16, n)
	failures, firsts, lasts := make([]int64, n), make([]int64, n), make([]int64, n)
	createdAt, finishedAt := make([]*time.Time, n), make([]*time.Time, n)
	var snapshots []byte
	ends := make([]int32, n)
	for i := range rows {
		r := &rows[i]
		ids[i], organizations[i], pipelines[i], branches[i] = r.ID, r.Organization, r.Pipeline, r.Branch
		states[i], statuses[i], parents[i] = r.State, string(r.Status), r.ParentID
		numbers[i], revs[i], classes[i] = r.Number, r.Rev, int16(r.Class)
		failures[i], firsts[i], lasts[i] = int64(r.Streak.Failures), r.Streak.FirstFailed, r.Streak.LastPassed
		createdAt[i], finishedAt[i] = timeOrNull(r.CreatedAt), timeOrNull(r.FinishedAt)
		snapshots = append(snapshots, p.group.packer.pack(r.Snapshot)...)
		ends[i] = int32(len(snapshots))
	}
	return []any{
		ids, organizations, pipelines, numbers, branches, states, statuses, classes,
		failures, firsts, lasts, parents, revs, createdAt, finishedAt, ends, snapshots,
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
func (p *Postgres) ClearSetAside(ctx context.Context, buildIDs []string) error {
	return p.exec(ctx, "clear events set aside", `DELETE FROM set_aside WHERE build_id = ANY($1)`, cleanAll(buildIDs))
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
