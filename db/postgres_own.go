package db

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/build-tracker/build-tracker/stream"
)

// queueOwn appends events of ours, last in their transaction: the head's lock is
// held from there to the commit.
func queueOwn(batch *pgx.Batch, own []Own) {
	if len(own) == 0 {
		return
	}
	a := newAppendArrays(ownEntries(own))
	batch.Queue(`SELECT record_events($1, $2, $3, $4, $5, $6, $7, $8, $9, $10,
		(SELECT array_agg(n) FROM generate_series(1, cardinality($1::bytea[])) AS n))`, a.args()...)
}

// withPartitions does what appends events of ours, and again when it lacked a
// partition for them.
func (p *Postgres) withPartitions(ctx context.Context, own []Own, do func() error) error {
	err := do()
	if !isMissingPartition(err) {
		return err
	}
	if err := p.makePartitions(ctx, ownEntries(own)); err != nil {
		return err
	}
	return do()
}

// ownEntries returns events of ours as appends take them. Their builds are
// stamped already, which says the team.
func ownEntries(own []Own) []entry {
	entries := make([]entry, len(own))
	for i, o := range own {
		e := &entries[i]
		copy(e.Key[:], o.ID[:])
		e.Organization, e.BuildID = clean(o.Organization, maxName), clean(o.BuildID, maxName)
		e.Pipeline, e.Number = clean(o.Pipeline, maxName), o.Number
		e.Team, e.Type = defaultTeam, o.Type
		e.payload = pack(o.Data)
	}
	return entries
}

// appendArrays are entries as append_events and record_events take them.
type appendArrays struct {
	keys                                           [][]byte
	teams, organizations, builds, pipelines, types []string
	numbers                                        []int64
	payloads                                       []byte
	ends                                           []int32
}

func newAppendArrays(batch []entry) *appendArrays {
	n, size := len(batch), 0
	a := &appendArrays{
		keys: make([][]byte, n), teams: make([]string, n), organizations: make([]string, n), builds: make([]string, n),
		pipelines: make([]string, n), types: make([]string, n), numbers: make([]int64, n), ends: make([]int32, n),
	}
	for i := range batch {
		e := &batch[i]
		a.keys[i] = e.Key[:]
		size += len(e.payload) // of a batch at most maxBatchBytes, or of one payload
		a.ends[i] = int32(size)
		a.teams[i], a.organizations[i], a.builds[i] = e.Team, e.Organization, e.BuildID
		a.pipelines[i], a.types[i], a.numbers[i] = e.Pipeline, e.Type, e.Number
	}
	a.payloads = make([]byte, 0, size)
	for i := range batch {
		a.payloads = append(a.payloads, batch[i].payload...)
	}
	return a
}

func (a *appendArrays) args() []any {
	return []any{
		a.keys, a.teams, a.organizations, a.builds, a.pipelines, a.numbers, a.types,
		stream.Version, a.payloads, a.ends,
	}
}
