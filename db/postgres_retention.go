package db

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Rows of one statement of Retain. Locks are held for as long as it runs.
const (
	sealBuilds      = 1000
	forgetBuilds    = 1000
	forgetDelivered = 5000
)

// retentionLock is the session's that does it, one for each schema.
const retentionLock = `hashtextextended(current_schema() || ' build-tracker retention', 0)`

// Retain is Store.Retain. It has a connection of its own: a partition cannot be
// detached in a transaction, and the lock against other replicas ends with the
// connection, whatever happens.
func (p *Postgres) Retain(ctx context.Context, q RetainQuery) (kept Retained, err error) {
	if p.closed.Load() {
		return Retained{}, ErrClosed
	}
	conn, err := pgx.ConnectConfig(ctx, p.pool.Config().ConnConfig)
	if err != nil {
		return Retained{}, fmt.Errorf("retain: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		defer cancel()
		// Closing does not wait until the server knows of it.
		_, _ = conn.Exec(ctx, `SELECT pg_advisory_unlock_all()`)
		_ = conn.Close(ctx)
	}()
	if err := configure(ctx, conn, longTimeout, lockTimeout); err != nil {
		return Retained{}, fmt.Errorf("retain: %w", err)
	}
	var mine bool
	if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock(`+retentionLock+`)`).Scan(&mine); err != nil {
		return Retained{}, fmt.Errorf("retain: %w", err)
	}
	if !mine {
		return Retained{Elsewhere: true}, nil
	}
	done, err := (&postgresRetention{conn, q}).run(ctx)
	if err != nil {
		return done, fmt.Errorf("retain: %w", err)
	}
	return done, nil
}

// postgresRetention is one run of Retain. Dropping a partition keeps appends and
// reads from nothing: detached concurrently, it waits for those that may be using
// it, and they for nobody.
type postgresRetention struct {
	conn *pgx.Conn
	q    RetainQuery
}

func (r *postgresRetention) run(ctx context.Context) (done Retained, err error) {
	days, err := r.days(ctx)
	if err != nil {
		return done, err
	}
	var errs [3]error
	done.Days, errs[0] = r.q.dropDays(ctx, r, days)
	done.Builds, errs[1] = inChunks(forgetBuilds, func() (int64, error) {
		return r.exec(ctx, forgetOldBuilds, r.q.Now.Add(-r.q.Builds), forgetBuilds)
	})
	done.Deliveries, errs[2] = inChunks(forgetDelivered, func() (int64, error) {
		return r.exec(ctx, forgetOldDeliveries, r.q.Now.Add(-r.q.Deliveries), forgetDelivered)
	})
	return done, errors.Join(errs[:]...)
}

// days returns all days but today's, whatever a replica takes for now: that one
// may get builds. Those noted come first.
func (r *postgresRetention) days(ctx context.Context) ([]day, error) {
	rows, err := r.conn.Query(ctx, `
		SELECT parent, leaf, team, day, position, events, lost, behind, true AS noted FROM dropping
		UNION ALL
		SELECT parent, leaf, team, day, 0, 0, 0, '', false FROM event_partitions() p
		WHERE day < (clock_timestamp() AT TIME ZONE 'UTC')::date AND NOT EXISTS (SELECT FROM dropping d WHERE d.leaf = p.leaf)
		ORDER BY noted DESC, team, day`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (d day, err error) {
		err = row.Scan(&d.parent, &d.leaf, &d.Team, &d.Day, &d.Position, &d.Events, &d.Lost, &d.Behind, &d.noted)
		return d, err
	})
}

func (r *postgresRetention) exec(ctx context.Context, query string, args ...any) (int64, error) {
	tag, err := r.conn.Exec(ctx, query, args...)
	return tag.RowsAffected(), err
}

// tally is dayStore's.
func (r *postgresRetention) tally(ctx context.Context, d *day) error {
	at := make(readers)
	rows, err := r.conn.Query(ctx, `SELECT name, position FROM cursors`)
	if err != nil {
		return err
	}
	var name string
	var position int64
	if _, err := pgx.ForEachRow(rows, []any{&name, &position}, func() error {
		at[name] = position
		return nil
	}); err != nil {
		return err
	}
	if err := r.conn.QueryRow(ctx, `SELECT count(*), coalesce(max(position), 0), count(*) FILTER (WHERE position > $1) FROM `+table(d.leaf),
		at.least()).Scan(&d.Events, &d.Position, &d.Lost); err != nil {
		return err
	}
	d.Behind = at.behind(d.Position)
	return nil
}

// seal is dayStore's. It waits for appends to these builds that are under way, as
// they hold the stamp's lock, and locks in their order. A build without a row is
// forgotten with its events.
func (r *postgresRetention) seal(ctx context.Context, d *day) error {
	for after := ""; ; {
		var ids []string
		if err := r.conn.QueryRow(ctx, `SELECT array_agg(build_id) FROM (
			SELECT DISTINCT build_id FROM `+table(d.leaf)+` WHERE build_id > $1 ORDER BY build_id LIMIT $2) AS b`,
			after, sealBuilds).Scan(&ids); err != nil {
			return err
		}
		if len(ids) == 0 {
			return nil
		}
		if err := pgx.BeginFunc(ctx, r.conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `UPDATE build_seqs SET dropped = true WHERE build_id IN (
				SELECT build_id FROM build_seqs WHERE build_id = ANY ($1) AND team = $2 AND day = $3 AND NOT dropped
				ORDER BY build_id FOR UPDATE)`, ids, d.Team, d.Day); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `DELETE FROM build_seqs s WHERE s.build_id = ANY ($1) AND s.dropped
				AND NOT EXISTS (SELECT FROM builds b WHERE b.id = s.build_id)`, ids)
			return err
		}); err != nil {
			return err
		}
		after = ids[len(ids)-1]
	}
}

// record is dayStore's.
func (r *postgresRetention) record(ctx context.Context, d *day) error {
	_, err := r.conn.Exec(ctx, `WITH tail AS (UPDATE stream_tail SET dropped = greatest(dropped, $5))
		INSERT INTO dropping (parent, leaf, team, day, position, events, lost, behind) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		d.parent, d.leaf, d.Team, d.Day, d.Position, d.Events, d.Lost, d.Behind)
	return err
}

// remove is dayStore's. A detachment that was cut off is pending: queries know
// nothing of the partition any more, and it is to be finalized.
func (r *postgresRetention) remove(ctx context.Context, d *day) error {
	var exists bool
	var pending *bool // nil once it is detached
	if err := r.conn.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL, (SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = to_regclass($1))`,
		table(d.leaf)).Scan(&exists, &pending); err != nil {
		return err
	}
	if pending != nil {
		how := ` CONCURRENTLY`
		if *pending {
			how = ` FINALIZE`
		}
		if _, err := r.conn.Exec(ctx, `ALTER TABLE `+table(d.parent)+` DETACH PARTITION `+table(d.leaf)+how); err != nil {
			return err
		}
	}
	return pgx.BeginFunc(ctx, r.conn, func(tx pgx.Tx) error {
		if exists {
			if _, err := tx.Exec(ctx, `DELETE FROM set_aside a USING `+table(d.leaf)+` e WHERE e.position = a.position`); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `DROP TABLE `+table(d.leaf)); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `DELETE FROM dropping WHERE leaf = $1`, d.leaf)
		return err
	})
}

// table quotes a name.
func table(name string) string { return pgx.Identifier{name}.Sanitize() }

// forgetOldBuilds forgets builds of before $1, $2 at most, none that has events. A
// stamp that an append takes at the same time is dropped no more, and stays.
const forgetOldBuilds = `WITH old AS MATERIALIZED (
		SELECT b.id, s.build_id IS NOT NULL AS stamped FROM builds b LEFT JOIN build_seqs s ON s.build_id = b.id
		WHERE coalesce(b.finished_at, b.created_at, s.day::timestamp AT TIME ZONE 'UTC') < $1 AND coalesce(s.dropped, true)
			AND (b.finished_at < $1 OR b.finished_at IS NULL) -- for the index
		LIMIT $2
	), stamps AS (
		DELETE FROM build_seqs s USING old WHERE s.build_id = old.id AND s.dropped RETURNING s.build_id
	), gone AS (
		SELECT id FROM old WHERE NOT stamped UNION SELECT build_id FROM stamps
	), unwanted AS (
		DELETE FROM notices n USING gone WHERE n.build_id = gone.id
	)
	DELETE FROM builds b USING gone WHERE b.id = gone.id`

const forgetOldDeliveries = `DELETE FROM deliveries WHERE key = ANY (ARRAY(
	SELECT key FROM deliveries WHERE received_at < $1 ORDER BY received_at LIMIT $2))`
