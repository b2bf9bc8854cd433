package db

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/build-tracker/build-tracker/stream"
)

// readerConns bounds the connections of a reader.
const readerConns = 2

// undefinedTable is the SQLSTATE of a table that is not there.
const undefinedTable = "42P01"

// PostgresReader reads the stream of a PostgreSQL store beside the servers that
// write it. It migrates, makes and changes nothing.
type PostgresReader struct{ p Postgres }

// OpenPostgresReader returns a reader of the store at url. The caller closes it.
func OpenPostgresReader(ctx context.Context, url string) (*PostgresReader, error) {
	pool, err := openPool(ctx, url, readerConns, statementTimeout)
	if err != nil {
		return nil, err
	}
	r := &PostgresReader{p: Postgres{pool: pool, logger: slog.New(slog.DiscardHandler)}}
	if _, err := r.p.Head(ctx); err != nil {
		pool.Close()
		if sqlState(err) == undefinedTable {
			return nil, fmt.Errorf("there is no event stream in the database; check DATABASE_URL, or run 'build-tracker migrate': %w", err)
		}
		return nil, err
	}
	return r, nil
}

// ReadAll is Store.ReadAll.
func (r *PostgresReader) ReadAll(ctx context.Context, q ReadQuery) ([]stream.Event, error) {
	return r.p.ReadAll(ctx, q)
}

// StatusBefore is Store.StatusBefore.
func (r *PostgresReader) StatusBefore(ctx context.Context, buildID string, seq int64) (stream.Event, error) {
	return r.p.StatusBefore(ctx, buildID, seq)
}

// Dropped is Store.Dropped.
func (r *PostgresReader) Dropped(ctx context.Context) (int64, error) { return r.p.Dropped(ctx) }

// Close releases the connections.
func (r *PostgresReader) Close() error {
	r.p.closed.Store(true)
	r.p.pool.Close()
	return nil
}
