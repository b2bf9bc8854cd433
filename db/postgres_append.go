package db

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

// Append is Store.Append.
func (p *Postgres) Append(ctx context.Context, d Delivery) (Appended, error) {
	return p.group.append(ctx, d)
}

// appendTries bounds how often a batch is written: again after its partitions
// were made, after a deadlock, and when a dead connection had taken nothing.
const appendTries = 3

func (p *Postgres) appendBatch(ctx context.Context, batch []entry) ([]Appended, error) {
	var err error
	for range appendTries {
		var results []Appended
		if results, err = p.appendOnce(ctx, batch); err == nil {
			return results, nil
		}
		switch {
		case isMissingPartition(err):
			if err := p.makePartitions(ctx, batch); err != nil {
				return nil, err
			}
		case sqlState(err) == "40001", sqlState(err) == "40P01": // serialization failure, deadlock
		case pgconn.SafeToRetry(err):
		case isContent(err):
			return nil, &contentError{err}
		default:
			return nil, err
		}
	}
	return nil, err
}

// appendOnce is one statement that commits by itself: one round trip, after
// which no lock is held.
func (p *Postgres) appendOnce(ctx context.Context, batch []entry) ([]Appended, error) {
	n := len(batch)
	var head int64
	var ranks, seqs []*int64
	err := p.appends.QueryRow(ctx, `SELECT head, ranks, seqs FROM append_events($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		newAppendArrays(batch).args()...).Scan(&head, &ranks, &seqs)
	if err != nil {
		return nil, err
	}
	if len(ranks) != n || len(seqs) != n {
		return nil, fmt.Errorf("append_events answered for %d of %d deliveries", len(ranks), n)
	}
	results := make([]Appended, n)
	for i := range results {
		if ranks[i] == nil {
			results[i].Duplicate = true
			continue
		}
		results[i].Position = head + *ranks[i]
		if seqs[i] != nil {
			results[i].Seq = *seqs[i]
		}
	}
	return results, nil
}

// isContent tells a refusal of the data from trouble with the store: SQLSTATE
// classes data exception, integrity violation and program limit exceeded.
func isContent(err error) bool {
	code := sqlState(err)
	return len(code) == 5 && (code[:2] == "22" || code[:2] == "23" || code[:2] == "54")
}

// isMissingPartition: a check violation of no named constraint is how PostgreSQL
// says that no partition takes the row.
func isMissingPartition(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == "23514" && e.ConstraintName == ""
}
