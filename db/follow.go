package db

import (
	"context"
	"database/sql"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/build-tracker/build-tracker/stream"
)

// toldWithin bounds how many of a build's last events LastTold looks at.
const toldWithin = 500

// untold are the types that do not say how a build stands, as a list in SQL.
var untold = "'" + strings.Join(slices.DeleteFunc(stream.OurTypes(), func(typ string) bool {
	return typ == stream.TypeStatus
}), "', '") + "'"

// lastTold are the clauses after FROM events that select what LastTold returns, of
// a build's events.
func lastTold(ofBuild string) string {
	return `WHERE ` + ofBuild + ` AND position = (SELECT position FROM
		(SELECT position, seq, type FROM events WHERE ` + ofBuild + ` ORDER BY seq DESC LIMIT ` + strconv.Itoa(toldWithin) + `) AS latest
		WHERE type NOT IN (` + untold + `) ORDER BY seq DESC LIMIT 1)`
}

func lastToldQuery(stamp string) string {
	return `SELECT ` + eventColumns + ` FROM events ` + lastTold(stampedBuild(stamp))
}

// LastTold is Store.LastTold.
func (p *Postgres) LastTold(ctx context.Context, buildID string) (stream.Event, error) {
	return first(p.readStamped(ctx, buildID, lastToldQuery))
}

// LastTold is Store.LastTold.
func (s *SQLite) LastTold(ctx context.Context, buildID string) (stream.Event, error) {
	return first(kept(func(do func(*stream.Event) error) error {
		return s.readEvents(ctx, &eventPage{limit: maxRead, do: do}, lastTold(`build_id = $1`), clean(buildID, maxName))
	}))
}

// statusBefore are the clauses after FROM events that select what StatusBefore
// returns, of a build's events.
func statusBefore(ofBuild string) string {
	return `WHERE ` + ofBuild + ` AND seq < $2 AND type = '` + stream.TypeStatus + `' ORDER BY seq DESC LIMIT 1`
}

func statusBeforeQuery(stamp string) string {
	return `SELECT ` + eventColumns + ` FROM events ` + statusBefore(stampedBuild(stamp))
}

// StatusBefore is Store.StatusBefore.
func (p *Postgres) StatusBefore(ctx context.Context, buildID string, seq int64) (stream.Event, error) {
	return first(p.readStamped(ctx, buildID, statusBeforeQuery, seq))
}

// StatusBefore is Store.StatusBefore.
func (s *SQLite) StatusBefore(ctx context.Context, buildID string, seq int64) (stream.Event, error) {
	return first(kept(func(do func(*stream.Event) error) error {
		return s.readEvents(ctx, &eventPage{limit: maxRead, do: do}, statusBefore(`build_id = $1`), clean(buildID, maxName), seq)
	}))
}

// first returns the zero Event for none.
func first(events []stream.Event, err error) (stream.Event, error) {
	if err != nil || len(events) == 0 {
		return stream.Event{}, err
	}
	return events[0], nil
}

// NextSeqs is Store.NextSeqs.
func (p *Postgres) NextSeqs(ctx context.Context, buildIDs []string) (map[string]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rows, err := p.pool.Query(ctx, `SELECT build_id, next_seq FROM build_seqs WHERE build_id = ANY($1)`, cleanAll(buildIDs))
	if err != nil {
		return nil, p.fail("read the next seqs", err)
	}
	next := make(map[string]int64, len(buildIDs))
	var id string
	var seq int64
	if _, err := pgx.ForEachRow(rows, []any{&id, &seq}, func() error {
		next[id] = seq
		return nil
	}); err != nil {
		return nil, p.fail("read the next seqs", err)
	}
	return next, nil
}

// NextSeqs is Store.NextSeqs.
func (s *SQLite) NextSeqs(ctx context.Context, buildIDs []string) (map[string]int64, error) {
	list, err := jsonList(buildIDs)
	if err != nil {
		return nil, err
	}
	next := make(map[string]int64, len(buildIDs))
	if err := s.query(ctx, "read the next seqs", func(rows *sql.Rows) error {
		var id string
		var seq int64
		if err := rows.Scan(&id, &seq); err != nil {
			return err
		}
		next[id] = seq
		return nil
	}, `SELECT build_id, next_seq FROM build_seqs WHERE build_id IN (SELECT value FROM json_each($1))`, list); err != nil {
		return nil, err
	}
	return next, nil
}

const dropped = `SELECT dropped FROM stream_tail`

// Dropped is Store.Dropped.
func (p *Postgres) Dropped(ctx context.Context) (int64, error) {
	return p.count(ctx, "read the stream's tail", dropped)
}

// Dropped is Store.Dropped.
func (s *SQLite) Dropped(ctx context.Context) (int64, error) {
	return s.count(ctx, "read the stream's tail", dropped)
}
