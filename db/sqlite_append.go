package db

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"modernc.org/sqlite"
	sqlitelib "modernc.org/sqlite/lib"

	"github.com/build-tracker/build-tracker/stream"
)

// Append is Store.Append.
func (s *SQLite) Append(ctx context.Context, d Delivery) (Appended, error) {
	return s.group.append(ctx, d)
}

// insertStatements are what an append and a batch run for each row, prepared
// once.
type insertStatements struct{ delivery, seq, head, event, row *sql.Stmt }

func (st *insertStatements) prepare(ctx context.Context, db *sql.DB) (err error) {
	for _, s := range []struct {
		to    **sql.Stmt
		query string
	}{
		{&st.delivery, `INSERT INTO deliveries (key, received_at) VALUES ($1, $2) ON CONFLICT DO NOTHING`},
		{&st.seq, `INSERT INTO build_seqs (build_id, team, day, next_seq) VALUES ($1, $2, $3, 1)
			ON CONFLICT DO UPDATE SET next_seq = next_seq + 1,
				day = CASE WHEN dropped THEN excluded.day ELSE day END, dropped = 0
			RETURNING team, day, next_seq - 1`},
		{&st.head, `UPDATE stream_head SET position = $1`},
		{&st.event, `INSERT INTO events (position, team, day, id, organization, build_id, pipeline, number, seq,
				type, version, recorded_at, payload)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`},
		{&st.row, `INSERT INTO builds (` + rowColumns + `, snapshot)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)` + replaceRow},
	} {
		if *s.to, err = db.PrepareContext(ctx, s.query); err != nil { //nolint:sqlclosecheck // close does
			return err
		}
	}
	return nil
}

func (st *insertStatements) close() error {
	var errs []error
	for _, s := range []*sql.Stmt{st.delivery, st.seq, st.head, st.event, st.row} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(errs...)
}

func (s *SQLite) appendBatch(ctx context.Context, batch []entry) ([]Appended, error) {
	results := make([]Appended, len(batch))
	err := s.write(ctx, "write events", appendTimeout, func(ctx context.Context, tx *sql.Tx) error {
		return s.insert.appending(ctx, tx, func(a *sqliteAppend) (err error) {
			for i := range batch {
				if results[i], err = a.write(ctx, &batch[i]); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if isSQLiteContent(err) {
		return nil, &contentError{err}
	}
	return results, err
}

// sqliteAppend is an append under way, in a transaction.
type sqliteAppend struct {
	delivery, seq, event *sql.Stmt
	now                  time.Time // UTC
	// position is the stream's head. There is one writer: it is counted here.
	position int64
}

// appending runs do, which appends, in a transaction.
func (st *insertStatements) appending(ctx context.Context, tx *sql.Tx, do func(*sqliteAppend) error) error {
	a := &sqliteAppend{
		delivery: tx.StmtContext(ctx, st.delivery), seq: tx.StmtContext(ctx, st.seq), event: tx.StmtContext(ctx, st.event),
		now: time.Now().UTC(),
	}
	if err := tx.QueryRowContext(ctx, `SELECT position FROM stream_head`).Scan(&a.position); err != nil {
		return err
	}
	if err := do(a); err != nil {
		return err
	}
	_, err := tx.StmtContext(ctx, st.head).ExecContext(ctx, a.position) //nolint:sqlclosecheck // the transaction's
	return err
}

func (st *sqliteAppend) write(ctx context.Context, e *entry) (Appended, error) {
	added, err := st.delivery.ExecContext(ctx, e.Key[:], st.now.UnixMicro())
	if err != nil {
		return Appended{}, err
	}
	if n, err := added.RowsAffected(); err != nil || n == 0 {
		return Appended{Duplicate: true}, err
	}
	return st.record(ctx, e)
}

// record writes an event, whether or not it is known.
func (st *sqliteAppend) record(ctx context.Context, e *entry) (Appended, error) {
	team, day := e.Team, st.now.Format(time.DateOnly)
	var build, pipeline *string
	var number, seq *int64
	var a Appended
	if e.BuildID != "" {
		if err := st.seq.QueryRowContext(ctx, e.BuildID, team, day).Scan(&team, &day, &a.Seq); err != nil {
			return Appended{}, err
		}
		build, pipeline, number, seq = &e.BuildID, &e.Pipeline, &e.Number, &a.Seq
	}
	st.position++
	a.Position = st.position
	_, err := st.event.ExecContext(ctx, a.Position, team, day, e.Key[:16], e.Organization, build, pipeline, number, seq,
		e.Type, stream.Version, st.now.UnixMicro(), e.payload)
	return a, err
}

// appendOwn appends events of ours.
func (s *SQLite) appendOwn(ctx context.Context, tx *sql.Tx, own []Own) error {
	if len(own) == 0 {
		return nil
	}
	return s.insert.appending(ctx, tx, func(a *sqliteAppend) error {
		for _, e := range ownEntries(own) {
			if _, err := a.record(ctx, &e); err != nil {
				return err
			}
		}
		return nil
	})
}

// isSQLiteContent tells a refusal of the data from trouble with the store.
func isSQLiteContent(err error) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() & 0xff { // the rest says more, such as which constraint
	case sqlitelib.SQLITE_CONSTRAINT, sqlitelib.SQLITE_MISMATCH, sqlitelib.SQLITE_TOOBIG:
		return true
	}
	return false
}
