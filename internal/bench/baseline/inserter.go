package baseline

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// plainTable makes a plain table, without partitions, with the columns of
// build-tracker's events and the indexes of one of its partitions.
const plainTable = `CREATE TABLE plain_events (LIKE events INCLUDING STORAGE, PRIMARY KEY (position), UNIQUE (build_id, seq))
	WITH (toast_tuple_target = 8160);
CREATE INDEX ON plain_events (organization, pipeline, position);`

const insertOne = `INSERT INTO plain_events (position, team, day, id, organization, build_id, pipeline,
	number, seq, type, version, recorded_at, payload)
VALUES ($1, 'default', $2, $3, $4, $5, $6, $7, $8, $9, 1, $10, $11)`

// Inserter writes each event with an INSERT that commits by itself, over as many
// connections as there are writers. It counts positions and seqs in memory, which
// only the sole process on a table can, and looks for no duplicates.
type Inserter struct {
	pool     *pgxpool.Pool
	position atomic.Int64

	mu   sync.Mutex
	seqs map[string]int64
}

// NewInserter makes the table in a database that build-tracker has migrated.
func NewInserter(ctx context.Context, url string, connections int) (*Inserter, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("open the baseline's database: %w", err)
	}
	config.MaxConns = int32(connections)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open the baseline's database: %w", err)
	}
	if _, err := pool.Exec(ctx, plainTable, pgx.QueryExecModeSimpleProtocol); err != nil {
		pool.Close()
		return nil, fmt.Errorf("make the baseline's table: %w", err)
	}
	return &Inserter{pool: pool, seqs: make(map[string]int64)}, nil
}

// Insert returns when the event's commit has ended. It is for many goroutines.
func (i *Inserter) Insert(ctx context.Context, e *Event) error {
	i.mu.Lock()
	seq := i.seqs[e.BuildID]
	i.seqs[e.BuildID]++
	i.mu.Unlock()
	now := time.Now().UTC()
	_, err := i.pool.Exec(ctx, insertOne, i.position.Add(1), now, [16]byte(e.Key[:16]), e.Organization, e.BuildID,
		e.Pipeline, e.Number, seq, e.Type, now, e.Payload)
	if err != nil {
		return fmt.Errorf("the baseline's insert: %w", err)
	}
	return nil
}

// Close ends the connections, when no Insert is under way.
func (i *Inserter) Close() { i.pool.Close() }
