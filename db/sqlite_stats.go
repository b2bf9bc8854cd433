package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Finished is Store.Finished.
func (s *SQLite) Finished(ctx context.Context, q FinishedQuery) ([]Row, error) {
	return s.rows(ctx, "read finished builds", finished, q.From.UnixMicro(), q.To.UnixMicro(), clean(q.AfterID, maxName), pageSize(q.Limit))
}

// Incidents is Store.Incidents.
func (s *SQLite) Incidents(ctx context.Context, from, to time.Time) ([]Incident, error) {
	var found []Incident
	err := s.query(ctx, "read incidents", func(rows *sql.Rows) error {
		var i Incident
		var began, ended int64
		if err := rows.Scan(&i.Organization, &i.Pipeline, &i.Branch, &began, &ended); err != nil {
			return err
		}
		i.Began, i.Ended = fromMicros(&began), fromMicros(&ended)
		found = append(found, i)
		return nil
	}, sqliteNewest().incidents(), from.UnixMicro(), to.UnixMicro())
	if err != nil {
		return nil, err
	}
	return found, nil
}

// TouchedDays is Store.TouchedDays.
func (s *SQLite) TouchedDays(ctx context.Context, buildIDs []string) ([]time.Time, error) {
	list, err := jsonList(buildIDs)
	if err != nil {
		return nil, err
	}
	return s.days(ctx, "look up which days builds are in", sqliteNewest().touched(`IN (SELECT value FROM json_each($1))`), list)
}

// StaleDays is Store.StaleDays.
func (s *SQLite) StaleDays(ctx context.Context, format int) ([]time.Time, error) {
	return s.days(ctx, "look up days to be counted", `SELECT day * 86400000000 FROM (
			SELECT finished_at / 86400000000 AS day, count(*) AS builds FROM builds
			WHERE finished_at >= $2 AND finished_at < $3 GROUP BY 1) AS now
		FULL JOIN (
			SELECT day, builds FROM tallies WHERE organization = '' AND pipeline = '' AND branch = '' AND format = $1
		) AS counted USING (day)
		WHERE now.builds IS DISTINCT FROM counted.builds ORDER BY day DESC`, format, firstDay.UnixMicro(), lastDay.Add(oneDay).UnixMicro())
}

// StaleAll is Store.StaleAll.
func (s *SQLite) StaleAll(ctx context.Context, cursor string) error {
	return s.write(ctx, "have all days counted anew", callTimeout, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE cursors SET generation = '' WHERE name = $1`, clean(cursor, maxName)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, staleAll)
		return err
	})
}

// days returns the days of the times that a query finds.
func (s *SQLite) days(ctx context.Context, op, query string, args ...any) ([]time.Time, error) {
	var times []time.Time
	err := s.query(ctx, op, func(rows *sql.Rows) error {
		var at int64
		err := rows.Scan(&at)
		times = append(times, fromMicros(&at))
		return err
	}, query, args...)
	if err != nil {
		return nil, err
	}
	return daysOf(times), nil
}

// SetTallies is Store.SetTallies.
func (s *SQLite) SetTallies(ctx context.Context, d DayTallies) error {
	names := make([][3]string, len(d.Tallies))
	for i := range d.Tallies {
		t := &d.Tallies[i]
		names[i] = [3]string{clean(t.Organization, maxName), clean(t.Pipeline, maxName), clean(t.Branch, maxBranch)}
	}
	list, err := json.Marshal(names)
	if err != nil {
		return fmt.Errorf("write tallies: %w", err)
	}
	return s.write(ctx, "write tallies", callTimeout, func(ctx context.Context, tx *sql.Tx) error {
		var here int
		err := tx.QueryRowContext(ctx, `SELECT 1 FROM cursors WHERE name = $1 AND generation = $2`,
			clean(d.Cursor, maxName), clean(d.Generation, maxName)).Scan(&here)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrFenced
		}
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM tallies WHERE day = $1 AND (organization, pipeline, branch) NOT IN (
			SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($2))`, dayNumber(d.Day), string(list)); err != nil {
			return err
		}
		insert, err := tx.PrepareContext(ctx, `INSERT INTO tallies (organization, pipeline, branch, day, format, builds, data)
			VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (organization, pipeline, branch, day) DO UPDATE SET format = excluded.format, builds = excluded.builds, data = excluded.data
			WHERE (tallies.format, tallies.builds, tallies.data) IS NOT (excluded.format, excluded.builds, excluded.data)`)
		if err != nil {
			return err
		}
		defer func() { _ = insert.Close() }()
		for i, n := range names {
			if _, err := insert.ExecContext(ctx, n[0], n[1], n[2], dayNumber(d.Day), d.Format, d.Tallies[i].Builds, d.Tallies[i].Data); err != nil {
				return err
			}
		}
		return nil
	})
}

// Tallies is Store.Tallies.
func (s *SQLite) Tallies(ctx context.Context, q TallyQuery) ([]Tally, error) {
	var found []Tally
	err := s.query(ctx, "read tallies", func(rows *sql.Rows) error {
		var t Tally
		var day int64
		if err := rows.Scan(&day, &t.Organization, &t.Pipeline, &t.Branch, &t.Builds, &t.Data); err != nil {
			return err
		}
		t.Day = time.Unix(day*int64(oneDay/time.Second), 0).UTC()
		found = append(found, t)
		return nil
	}, `SELECT day, organization, pipeline, branch, builds, data FROM tallies
		WHERE organization = $1 AND pipeline = $2 AND branch = $3 AND day >= $4 AND format = $5 ORDER BY day LIMIT $6`,
		clean(q.Organization, maxName), clean(q.Pipeline, maxName), clean(q.Branch, maxBranch), dayNumber(q.Since), q.Format, maxPage)
	if err != nil {
		return nil, err
	}
	return found, nil
}

// dayNumber is a day as SQLite stores it.
func dayNumber(day time.Time) int64 { return day.Unix() / int64(oneDay/time.Second) }
