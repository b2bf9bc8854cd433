package db

import (
	"context"
	"fmt"
)

// NotifyChannel returns the channel of LISTEN and NOTIFY that the processes on
// this store share. Channels are the database's, so its name holds the number of
// the store's schema: two stores in one database do not hear each other.
func (p *Postgres) NotifyChannel(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	const query = `SELECT oid::bigint FROM pg_namespace WHERE nspname = current_schema()`
	var schema int64
	if err := p.pool.QueryRow(ctx, query).Scan(&schema); err != nil {
		return "", p.fail("name the channel of notifications", err)
	}
	return fmt.Sprintf("build_tracker_%d", schema), nil
}

// Notify sends payloads, each of fewer than 8000 bytes, to who listens to the
// channel: together, in order. It is not for use beside an append: NOTIFY takes
// a lock over the whole database at commit.
func (p *Postgres) Notify(ctx context.Context, channel string, payloads []string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if _, err := p.pool.Exec(ctx, `SELECT pg_notify($1, p) FROM unnest($2::text[]) AS p`, channel, payloads); err != nil {
		return p.fail("notify", err)
	}
	return nil
}
