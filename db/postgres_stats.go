package db

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// Finished is Store.Finished.
func (p *Postgres) Finished(ctx context.Context, q FinishedQuery) ([]Row, error) {
	return p.rows(ctx, "read finished builds", finished, q.From, q.To, clean(q.AfterID, maxName), pageSize(q.Limit))
}

// Incidents is Store.Incidents. The planner takes the query for a large one; what it
// would compile takes seconds, and the query some milliseconds.
func (p *Postgres) Incidents(ctx context.Context, from, to time.Time) (found []Incident, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var batch pgx.Batch
	batch.Queue(`SELECT set_config('jit', 'off', true)`)
	batch.Queue(postgresNewest().incidents(), from, to).Query(func(rows pgx.Rows) error {
		found, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Incident])
		return err
	})
	if err := p.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, p.fail("read incidents", err)
	}
	return found, nil
}

// TouchedDays is Store.TouchedDays.
func (p *Postgres) TouchedDays(ctx context.Context, buildIDs []string) ([]time.Time, error) {
	return p.days(ctx, "look up which days builds are in", postgresNewest().touched(`= ANY ($1)`), cleanAll(buildIDs))
}

// StaleDays is Store.StaleDays.
func (p *Postgres) StaleDays(ctx context.Context, format int) ([]time.Time, error) {
	return p.days(ctx, "look up days to be counted", `SELECT day::timestamp AT TIME ZONE 'UTC' FROM (
			SELECT (finished_at AT TIME ZONE 'UTC')::date AS day, count(*) AS builds FROM builds
			WHERE finished_at >= $2 AND finished_at < $3 GROUP BY 1) AS now
		FULL JOIN (
			SELECT day, builds FROM tallies WHERE organization = '' AND pipeline = '' AND branch = '' AND format = $1
		) AS counted USING (day)
		WHERE now.builds IS DISTINCT FROM counted.builds ORDER BY day DESC`, format, firstDay, lastDay.Add(oneDay))
}

// StaleAll is Store.StaleAll.
func (p *Postgres) StaleAll(ctx context.Context, cursor string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var batch pgx.Batch
	batch.Queue(`UPDATE cursors SET generation = '' WHERE name = $1`, clean(cursor, maxName))
	batch.Queue(staleAll)
	if err := p.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return p.fail("have all days counted anew", err)
	}
	return nil
}

// days returns the days of the times that a query finds.
func (p *Postgres) days(ctx context.Context, op, query string, args ...any) ([]time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rows, err := p.pool.Query(ctx, query, args...)
	if err != nil {
		return nil, p.fail(op, err)
	}
	times, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
	if err != nil {
		return nil, p.fail(op, err)
	}
	return daysOf(times), nil
}

// SetTallies is Store.SetTallies. A row that is as it was is not written.
func (p *Postgres) SetTallies(ctx context.Context, d DayTallies) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	n := len(d.Tallies)
	organizations, pipelines, branches := make([]string, n), make([]string, n), make([]string, n)
	builds, data := make([]int64, n), make([][]byte, n)
	for i := range d.Tallies {
		t := &d.Tallies[i]
		organizations[i], pipelines[i], branches[i] = clean(t.Organization, maxName), clean(t.Pipeline, maxName), clean(t.Branch, maxBranch)
		builds[i], data[i] = t.Builds, t.Data
	}
	var batch pgx.Batch
	batch.Queue(`DELETE FROM tallies WHERE day = $1 AND (organization, pipeline, branch) NOT IN (SELECT * FROM unnest($2::text[], $3::text[], $4::text[]))`,
		d.Day, organizations, pipelines, branches)
	batch.Queue(`INSERT INTO tallies (organization, pipeline, branch, day, format, builds, data)
		SELECT organization, pipeline, branch, $1, $2, builds, data
		FROM unnest($3::text[], $4::text[], $5::text[], $6::bigint[], $7::bytea[]) AS t(organization, pipeline, branch, builds, data)
		ON CONFLICT (organization, pipeline, branch, day) DO UPDATE SET format = excluded.format, builds = excluded.builds, data = excluded.data
		WHERE (tallies.format, tallies.builds, tallies.data) IS DISTINCT FROM (excluded.format, excluded.builds, excluded.data)`,
		d.Day, d.Format, organizations, pipelines, branches, builds, data)
	err := pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		// Locked to the commit: a new generation begins before the check or after it.
		if err := tx.QueryRow(ctx, `SELECT FROM cursors WHERE name = $1 AND generation = $2 FOR SHARE`,
			clean(d.Cursor, maxName), clean(d.Generation, maxName)).Scan(); err != nil {
			return err
		}
		return tx.SendBatch(ctx, &batch).Close()
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrFenced
	}
	if err != nil {
		return p.fail("write tallies", err)
	}
	return nil
}

// Tallies is Store.Tallies.
func (p *Postgres) Tallies(ctx context.Context, q TallyQuery) ([]Tally, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rows, err := p.pool.Query(ctx, `SELECT day, organization, pipeline, branch, builds, data FROM tallies
		WHERE organization = $1 AND pipeline = $2 AND branch = $3 AND day >= $4 AND format = $5 ORDER BY day LIMIT $6`,
		clean(q.Organization, maxName), clean(q.Pipeline, maxName), clean(q.Branch, maxBranch), q.Since, q.Format, maxPage)
	if err != nil {
		return nil, p.fail("read tallies", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Tally])
	if err != nil {
		return nil, p.fail("read tallies", err)
	}
	return found, nil
}
