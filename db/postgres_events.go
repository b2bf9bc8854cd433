package db

import (
	"context"
	"errors"
	"math"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/build-tracker/build-tracker/stream"
)

// Head is Store.Head.
func (p *Postgres) Head(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var head int64
	if err := p.pool.QueryRow(ctx, `SELECT position FROM stream_head`).Scan(&head); err != nil {
		return 0, p.fail("read the stream's head", err)
	}
	return head, nil
}

// eventColumns are what scanEvent reads.
const eventColumns = `position, id, organization, build_id, pipeline, number, seq, type, version, recorded_at, payload`

// withinSize wraps a query for eventColumns: it ends before the row at which the
// compressed payloads exceed $1 bytes, but not before the first. The sizes are
// known without reading the payloads.
func withinSize(query, order string) string {
	return `SELECT ` + eventColumns + ` FROM (
		SELECT *, sum(octet_length(payload)) OVER (ORDER BY ` + order + ` ROWS UNBOUNDED PRECEDING) - octet_length(payload) AS before
		FROM (` + query + `) q) w
		WHERE before < $1 ORDER BY ` + order
}

func readAllQuery(clauses string) string {
	return withinSize(`SELECT `+eventColumns+` FROM events `+clauses, "position")
}

// stampedBuild selects the events of build $1. The stamp is the condition that
// names their partition. It has values in it, not parameters: only so do the other
// partitions stay out of a plan that is kept, and unlocked.
func stampedBuild(stamp string) string { return stamp + ` AND build_id = $1` }

func readBuildQuery(stamp string) string {
	return `SELECT ` + eventColumns + ` FROM events WHERE ` + stampedBuild(stamp) + ` AND seq >= $2 ORDER BY seq LIMIT $3`
}

func eachOfBuildQuery(stamp string) string {
	return `SELECT ` + eventColumns + ` FROM events WHERE ` + stampedBuild(stamp) + ofBuild
}

// ReadAll is Store.ReadAll.
func (p *Postgres) ReadAll(ctx context.Context, q ReadQuery) ([]stream.Event, error) {
	return kept(func(do func(*stream.Event) error) error { return p.each(ctx, maxRead, q, do) })
}

// Each is Store.Each.
func (p *Postgres) Each(ctx context.Context, q ReadQuery, do func(*stream.Event) error) error {
	return p.each(ctx, maxEach, q, do)
}

func (p *Postgres) each(ctx context.Context, size int, q ReadQuery, do func(*stream.Event) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	clauses, args := readClauses(q, []any{size})
	return p.readEvents(ctx, &eventPage{limit: size, do: do}, readAllQuery(clauses), args...)
}

// ReadBuild is Store.ReadBuild.
func (p *Postgres) ReadBuild(ctx context.Context, buildID string, from int64, limit int) ([]stream.Event, error) {
	return p.readStamped(ctx, buildID, readBuildQuery, from, pageSize(limit))
}

// EachOfBuilds is Store.EachOfBuilds.
func (p *Postgres) EachOfBuilds(ctx context.Context, builds []BuildQuery, do func(*stream.Event) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	ids := make([]string, len(builds))
	for i, q := range builds {
		ids[i] = clean(q.ID, maxName)
	}
	stamps, err := p.stamps(ctx, ids)
	if err != nil {
		return err
	}
	var batch pgx.Batch
	page := &eventPage{limit: math.MaxInt, do: do}
	for i, q := range builds {
		if stamp := stamps[ids[i]]; stamp != "" {
			batch.Queue(eachOfBuildQuery(stamp), ids[i], q.From, q.UpTo, pageSize(q.Limit)).
				Query(func(rows pgx.Rows) error { return scanEvents(rows, page) })
		}
	}
	if batch.Len() == 0 {
		return nil
	}
	if err := p.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return p.fail("read events", err)
	}
	return nil
}

// stamps returns the condition that names the partition of each build that has one.
func (p *Postgres) stamps(ctx context.Context, buildIDs []string) (map[string]string, error) {
	rows, err := p.pool.Query(ctx, `SELECT build_id, format('team = %L AND day = %L', team, to_char(day, 'YYYY-MM-DD'))
		FROM build_seqs WHERE build_id = ANY($1) AND NOT dropped`, buildIDs)
	if err != nil {
		return nil, p.fail("find the builds' partitions", err)
	}
	stamps := make(map[string]string, len(buildIDs))
	var id, stamp string
	if _, err := pgx.ForEachRow(rows, []any{&id, &stamp}, func() error {
		stamps[id] = stamp
		return nil
	}); err != nil {
		return nil, p.fail("find the builds' partitions", err)
	}
	return stamps, nil
}

// readStamped reads events of a build. Its stamp names their partition; no other
// is opened. The query's arguments are the build and those given.
func (p *Postgres) readStamped(ctx context.Context, buildID string, query func(stamp string) string, args ...any) ([]stream.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	buildID = clean(buildID, maxName)
	stamps, err := p.stamps(ctx, []string{buildID})
	if err != nil || stamps[buildID] == "" {
		return nil, err
	}
	args = append([]any{buildID}, args...)
	return kept(func(do func(*stream.Event) error) error {
		return p.readEvents(ctx, &eventPage{limit: maxRead, do: do}, query(stamps[buildID]), args...)
	})
}

// readEvents hands what a query for eventColumns finds to a page.
func (p *Postgres) readEvents(ctx context.Context, page *eventPage, query string, args ...any) error {
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	rows, err := p.pool.Query(ctx, query, args...)
	if err != nil {
		return p.fail("read events", err)
	}
	defer rows.Close()
	if err := scanEvents(rows, page); errors.Is(err, errPageFull) {
		skipRows(rows, page.limit, giveUp)
	} else if err != nil {
		return p.fail("read events", err)
	}
	return nil
}

// scanEvents hands rows of eventColumns to a page.
func scanEvents(rows pgx.Rows, page *eventPage) error {
	var e stream.Event
	var number, seq pgtype.Int8
	var payload pgtype.DriverBytes // the connection's, until the next row
	var organization, build, pipeline, typ repeated
	for rows.Next() {
		if err := rows.Scan(&e.Position, (*[16]byte)(&e.ID), &organization, &build, &pipeline, &number, &seq,
			&typ, &e.Version, &e.Time, &payload); err != nil {
			return err
		}
		e.Organization, e.BuildID, e.Pipeline, e.Type = string(organization), string(build), string(pipeline), string(typ)
		e.Number, e.Seq = number.Int64, seq.Int64
		if err := page.add(&e, payload); err != nil {
			return err
		}
	}
	return rows.Err()
}

// skipRows reads what is left of an answer, so that its connection can be used
// again. Above so many bytes it gives the connection up instead.
func skipRows(rows pgx.Rows, bytes int, giveUp func()) {
	for rows.Next() {
		for _, value := range rows.RawValues() {
			bytes -= len(value)
		}
		if bytes < 0 {
			giveUp()
			return
		}
	}
}
