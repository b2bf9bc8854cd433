package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"
)

// sqliteChunk bounds the rows that one transaction of Retain changes: an append
// waits for it to end. The pages it frees are used again; the file does not
// shrink.
const sqliteChunk = 500

// Retain is Store.Retain.
func (s *SQLite) Retain(ctx context.Context, q RetainQuery) (done Retained, err error) {
	if !s.retaining.TryLock() {
		return Retained{Elsewhere: true}, nil
	}
	defer s.retaining.Unlock()
	r := sqliteRetention{s}
	days, err := r.days(ctx)
	if err != nil {
		return done, fmt.Errorf("retain: %w", err)
	}
	var errs [3]error
	done.Days, errs[0] = q.dropDays(ctx, r, days)
	done.Builds, errs[1] = inChunks(sqliteChunk, func() (int64, error) { return r.forgetBuilds(ctx, q.Now.Add(-q.Builds)) })
	done.Deliveries, errs[2] = inChunks(sqliteChunk, func() (int64, error) {
		return s.exec(ctx, "forget deliveries", `DELETE FROM deliveries WHERE key IN (
			SELECT key FROM deliveries WHERE received_at < $1 ORDER BY received_at LIMIT $2)`, q.Now.Add(-q.Deliveries).UnixMicro(), sqliteChunk)
	})
	if err := errors.Join(errs[:]...); err != nil {
		return done, fmt.Errorf("retain: %w", err)
	}
	return done, nil
}

// sqliteRetention drops days in small transactions.
type sqliteRetention struct{ *SQLite }

// days returns all days, those noted first. A step from one to the next is a look
// into the index.
func (r sqliteRetention) days(ctx context.Context) (days []day, err error) {
	scan := func(noted bool) func(rows *sql.Rows) error {
		return func(rows *sql.Rows) error {
			d := day{noted: noted}
			var date string
			if err := rows.Scan(&d.Team, &date, &d.Position, &d.Events, &d.Lost, &d.Behind); err != nil {
				return err
			}
			if d.Day, err = time.Parse(time.DateOnly, date); err != nil {
				return err
			}
			days = append(days, d)
			return nil
		}
	}
	if err := r.query(ctx, "read the days that go", scan(true),
		`SELECT team, day, position, events, lost, behind FROM dropping ORDER BY team, day`); err != nil {
		return nil, err
	}
	noted := len(days)
	var team, date string
	for {
		before := len(days)
		if err := r.query(ctx, "read the days", scan(false),
			`SELECT team, day, 0, 0, 0, '' FROM events WHERE (team, day) > ($1, $2) ORDER BY team, day LIMIT 1`, team, date); err != nil {
			return nil, err
		}
		if len(days) == before {
			return days, nil
		}
		d := days[before]
		team, date = d.Team, d.Day.Format(time.DateOnly)
		if slices.ContainsFunc(days[:noted], func(n day) bool { return n.Team == d.Team && n.Day.Equal(d.Day) }) {
			days = days[:before]
		}
	}
}

// tally is dayStore's.
func (r sqliteRetention) tally(ctx context.Context, d *day) error {
	at := make(readers)
	if err := r.query(ctx, "read the cursors", func(rows *sql.Rows) error {
		var name string
		var position int64
		if err := rows.Scan(&name, &position); err != nil {
			return err
		}
		at[name] = position
		return nil
	}, `SELECT name, position FROM cursors`); err != nil {
		return err
	}
	if err := r.query(ctx, "count events", func(rows *sql.Rows) error {
		return rows.Scan(&d.Events, &d.Position, &d.Lost)
	}, `SELECT count(*), coalesce(max(position), 0), count(*) FILTER (WHERE position > $3) FROM events WHERE team = $1 AND day = $2`,
		d.Team, d.Day.Format(time.DateOnly), at.least()); err != nil {
		return err
	}
	d.Behind = at.behind(d.Position)
	return nil
}

// seal is dayStore's. A build without a row is forgotten with its events.
func (r sqliteRetention) seal(ctx context.Context, d *day) error {
	date := d.Day.Format(time.DateOnly)
	for after := ""; ; {
		var ids []string
		if err := r.query(ctx, "read the day's builds", func(rows *sql.Rows) error {
			var id string
			err := rows.Scan(&id)
			ids = append(ids, id)
			return err
		}, `SELECT build_id FROM build_seqs WHERE team = $1 AND day = $2 AND NOT dropped AND build_id > $3 ORDER BY build_id LIMIT $4`,
			d.Team, date, after, sqliteChunk); err != nil {
			return err
		}
		if len(ids) == 0 {
			return nil
		}
		list, err := jsonList(ids)
		if err != nil {
			return err
		}
		if err := r.write(ctx, "seal builds", callTimeout, func(ctx context.Context, tx *sql.Tx) error {
			const these = ` WHERE build_id IN (SELECT value FROM json_each($1))`
			if _, err := tx.ExecContext(ctx, `UPDATE build_seqs SET dropped = 1`+these+` AND team = $2 AND day = $3`, list, d.Team, date); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, `DELETE FROM build_seqs`+these+` AND dropped
				AND NOT EXISTS (SELECT 1 FROM builds b WHERE b.id = build_seqs.build_id)`, list)
			return err
		}); err != nil {
			return err
		}
		after = ids[len(ids)-1]
	}
}

// record is dayStore's.
func (r sqliteRetention) record(ctx context.Context, d *day) error {
	return r.write(ctx, "note the day", callTimeout, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE stream_tail SET dropped = max(dropped, $1)`, d.Position); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO dropping (team, day, position, events, lost, behind) VALUES ($1, $2, $3, $4, $5, $6)`,
			d.Team, d.Day.Format(time.DateOnly), d.Position, d.Events, d.Lost, d.Behind)
		return err
	})
}

// remove is dayStore's. What is above the position came later, and stays.
func (r sqliteRetention) remove(ctx context.Context, d *day) error {
	date := d.Day.Format(time.DateOnly)
	const these = ` WHERE position IN (
		SELECT position FROM events WHERE team = $1 AND day = $2 AND position <= $3 ORDER BY position LIMIT $4)`
	if _, err := inChunks(sqliteChunk, func() (removed int64, err error) {
		err = r.write(ctx, "delete events", callTimeout, func(ctx context.Context, tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, `DELETE FROM set_aside`+these, d.Team, date, d.Position, sqliteChunk); err != nil {
				return err
			}
			result, err := tx.ExecContext(ctx, `DELETE FROM events`+these, d.Team, date, d.Position, sqliteChunk)
			if err != nil {
				return err
			}
			removed, err = result.RowsAffected()
			return err
		})
		return removed, err
	}); err != nil {
		return err
	}
	_, err := r.exec(ctx, "note that the day is gone", `DELETE FROM dropping WHERE team = $1 AND day = $2`, d.Team, date)
	return err
}

// forgetBuilds forgets builds of before a time, sqliteChunk at most, none that
// has events: its stamp stays when an append takes it in between.
func (r sqliteRetention) forgetBuilds(ctx context.Context, before time.Time) (gone int64, err error) {
	var ids []string
	if err := r.query(ctx, "read old builds", func(rows *sql.Rows) error {
		var id string
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	}, `SELECT b.id FROM builds b LEFT JOIN build_seqs s ON s.build_id = b.id
		WHERE coalesce(b.finished_at, b.created_at, unixepoch(s.day) * 1000000) < $1 AND coalesce(s.dropped, 1)
			AND (b.finished_at < $1 OR b.finished_at IS NULL) -- for the index
		LIMIT $2`, before.UnixMicro(), sqliteChunk); err != nil || len(ids) == 0 {
		return 0, err
	}
	list, err := jsonList(ids)
	if err != nil {
		return 0, err
	}
	err = r.write(ctx, "forget builds", callTimeout, func(ctx context.Context, tx *sql.Tx) error {
		const these = ` IN (SELECT value FROM json_each($1))`
		for _, query := range []string{
			`DELETE FROM build_seqs WHERE build_id` + these + ` AND dropped`,
			`DELETE FROM notices WHERE build_id` + these + ` AND build_id NOT IN (SELECT build_id FROM build_seqs WHERE build_id` + these + `)`,
			`DELETE FROM builds WHERE id` + these + ` AND id NOT IN (SELECT build_id FROM build_seqs WHERE build_id` + these + `)`,
		} {
			result, err := tx.ExecContext(ctx, query, list)
			if err != nil {
				return err
			}
			if gone, err = result.RowsAffected(); err != nil {
				return err
			}
		}
		return nil
	})
	return gone, err
}
