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
			ON CONFLICT DO UPDATE SET next_seq = next_seq + 1 RETURNING team, day, next_seq - 1`},
		{&st.head, `UPDATE stream_head SET position = position + 1 RETURNING position`},
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
		st := insertStatements{
			delivery: tx.StmtContext(ctx, s.insert.delivery), seq: tx.StmtContext(ctx, s.insert.seq),
			head: tx.StmtContext(ctx, s.insert.head), event: tx.StmtContext(ctx, s.insert.event),
		}
		now := time.Now().UTC()
		for i := range batch {
			var err error
			if results[i], err = st.write(ctx, &batch[i], now); err != nil {
				return err
			}
		}
		return nil
	})
	if isSQLiteContent(err) {
		return nil, &contentError{err}
	}
	return results, err
}

func (st *insertStatements) write(ctx context.Context, e *entry, now time.Time) (Appended, error) {
	added, err := st.delivery.ExecContext(ctx, e.Key[:], now.UnixMicro())
	if err != nil {
		return Appended{}, err
	}
	if n, err := added.RowsAffected(); err != nil || n == 0 {
		return Appended{Duplicate: true}, err
	}
	team, day := e.Team, now.Format(time.DateOnly)
	var build, pipeline *string
	var number, seq *int64
	var a Appended
	if e.BuildID != "" {
		if err := st.seq.QueryRowContext(ctx, e.BuildID, team, day).Scan(&team, &day, &a.Seq); err != nil {
			return Appended{}, err
		}
		build, pipeline, number, seq = &e.BuildID, &e.Pipeline, &e.Number, &a.Seq
	}
	if err := st.head.QueryRowContext(ctx).Scan(&a.Position); err != nil {
		return Appended{}, err
	}
	_, err = st.event.ExecContext(ctx, a.Position, team, day, e.Key[:16], e.Organization, build, pipeline, number, seq,
		e.Type, stream.Version, now.UnixMicro(), e.payload)
	return a, err
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
