package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/build-tracker/build-tracker/stream"
)

// Head is Store.Head.
func (s *SQLite) Head(ctx context.Context) (int64, error) {
	return s.count(ctx, "read the stream's head", `SELECT position FROM stream_head`)
}

// ReadAll is Store.ReadAll.
func (s *SQLite) ReadAll(ctx context.Context, q ReadQuery) ([]stream.Event, error) {
	return kept(func(do func(*stream.Event) error) error { return s.each(ctx, maxRead, q, do) })
}

// Each is Store.Each.
func (s *SQLite) Each(ctx context.Context, q ReadQuery, do func(*stream.Event) error) error {
	return s.each(ctx, maxEach, q, do)
}

func (s *SQLite) each(ctx context.Context, size int, q ReadQuery, do func(*stream.Event) error) error {
	where, args := readClauses(q, nil)
	return s.readEvents(ctx, &eventPage{limit: size, do: do}, where, args...)
}

// ReadBuild is Store.ReadBuild.
func (s *SQLite) ReadBuild(ctx context.Context, buildID string, from int64, limit int) ([]stream.Event, error) {
	return kept(func(do func(*stream.Event) error) error {
		return s.readEvents(ctx, &eventPage{limit: maxRead, do: do},
			`WHERE build_id = $1 AND seq >= $2 ORDER BY seq LIMIT $3`, clean(buildID, maxName), from, pageSize(limit))
	})
}

// EachOfBuilds is Store.EachOfBuilds.
func (s *SQLite) EachOfBuilds(ctx context.Context, builds []BuildQuery, do func(*stream.Event) error) error {
	page := &eventPage{limit: math.MaxInt, do: do}
	for _, q := range builds {
		if err := s.readEvents(ctx, page, `WHERE build_id = $1`+ofBuild, clean(q.ID, maxName), q.From, q.UpTo, pageSize(q.Limit)); err != nil {
			return err
		}
	}
	return nil
}

// readEvents hands the events that the clauses after FROM select to a page.
func (s *SQLite) readEvents(ctx context.Context, page *eventPage, clauses string, args ...any) error {
	var e stream.Event
	var id, payload sql.RawBytes // the driver's, until the next row
	var organization, build, pipeline, typ repeated
	var number, seq sql.NullInt64
	var at int64
	err := s.query(ctx, "read events", func(rows *sql.Rows) error {
		if err := rows.Scan(&e.Position, &id, &organization, &build, &pipeline, &number, &seq, &typ, &e.Version, &at, &payload); err != nil {
			return err
		}
		if copy(e.ID[:], id) != len(e.ID) {
			return fmt.Errorf("event %d: an id of %d bytes", e.Position, len(id))
		}
		e.Organization, e.BuildID, e.Pipeline, e.Type = string(organization), string(build), string(pipeline), string(typ)
		e.Number, e.Seq, e.Time = number.Int64, seq.Int64, time.UnixMicro(at)
		return page.add(&e, payload)
	}, `SELECT `+eventColumns+` FROM events `+clauses, args...)
	if errors.Is(err, errPageFull) {
		return nil
	}
	return err
}
