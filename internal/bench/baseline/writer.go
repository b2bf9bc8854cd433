package baseline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// Event is one row to write, but for what the writer counts itself.
type Event struct {
	Key                    [32]byte
	Organization, Pipeline string
	Number                 int64
	BuildID, Type          string
	Payload                []byte // as stored
}

// table has the columns of build-tracker's events, a delivery's key with
// them, and the same indexes. It is one plain table, without partitions.
const table = `CREATE TABLE baseline_events (
	position     bigint PRIMARY KEY,
	key          bytea NOT NULL UNIQUE,
	team         text COLLATE "C" NOT NULL,
	day          date NOT NULL,
	id           uuid NOT NULL,
	organization text COLLATE "C" NOT NULL,
	build_id     text COLLATE "C",
	pipeline     text COLLATE "C",
	number       bigint,
	seq          bigint,
	type         text NOT NULL,
	version      smallint NOT NULL,
	recorded_at  timestamptz NOT NULL,
	payload      bytea NOT NULL,
	UNIQUE (build_id, seq)
);
CREATE INDEX ON baseline_events (organization, pipeline, position);
ALTER TABLE baseline_events ALTER COLUMN payload SET STORAGE EXTERNAL;`

const insert = `INSERT INTO baseline_events (position, key, team, day, id, organization, build_id, pipeline,
	number, seq, type, version, recorded_at, payload)
SELECT $1 + e.n, e.key, 'default', $2::date, encode(substring(e.key FROM 1 FOR 16), 'hex')::uuid, e.organization,
	e.build_id, e.pipeline, e.number, e.seq, e.type, 1, $2, e.payload
FROM unnest($3::bytea[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::text[], $10::bytea[])
	WITH ORDINALITY AS e(key, organization, build_id, pipeline, number, seq, type, payload, n)`

// maxBatch is how many events one commit takes.
const maxBatch = 1024

// Writer appends to one table over one connection: what arrives while a commit
// runs goes into the next one, which is a single INSERT. It counts positions and
// seqs in memory, which only the sole writer of a table can, and looks for no
// duplicates.
type Writer struct {
	conn    *pgx.Conn
	queue   chan *waiting
	stopped chan struct{} // closed when the goroutine has ended

	// The rest belongs to the goroutine that commits.
	position int64
	seqs     map[string]int64
}

type waiting struct {
	Event
	done chan error // gets the outcome of its commit
}

// NewWriter makes the table in an empty database and starts the goroutine that
// commits.
func NewWriter(ctx context.Context, url string) (*Writer, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("open the baseline's database: %w", err)
	}
	if _, err := conn.Exec(ctx, table); err != nil {
		return nil, errors.Join(fmt.Errorf("make the baseline's table: %w", err), conn.Close(ctx))
	}
	w := &Writer{conn: conn, queue: make(chan *waiting, maxBatch), stopped: make(chan struct{}), seqs: make(map[string]int64)}
	go w.run()
	return w, nil
}

var outcomes = sync.Pool{New: func() any { return make(chan error, 1) }}

// Append returns when the event's commit has ended. It is for many goroutines.
func (w *Writer) Append(e Event) error {
	done := outcomes.Get().(chan error)
	w.queue <- &waiting{e, done}
	err := <-done
	outcomes.Put(done)
	return err
}

// Close ends the writer, when no Append is under way.
func (w *Writer) Close() error {
	close(w.queue)
	<-w.stopped
	return w.conn.Close(context.Background())
}

func (w *Writer) run() {
	defer close(w.stopped)
	for first := range w.queue {
		batch := []*waiting{first}
		for len(batch) < maxBatch && len(w.queue) > 0 {
			batch = append(batch, <-w.queue)
		}
		err := w.commit(batch)
		for _, one := range batch {
			one.done <- err
		}
	}
}

func (w *Writer) commit(batch []*waiting) error {
	n := len(batch)
	keys, payloads := make([][]byte, n), make([][]byte, n)
	organizations, builds, pipelines, types := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	numbers, seqs := make([]int64, n), make([]int64, n)
	for i, e := range batch {
		keys[i], payloads[i] = e.Key[:], e.Payload
		organizations[i], builds[i], pipelines[i], types[i], numbers[i] = e.Organization, e.BuildID, e.Pipeline, e.Type, e.Number
		seqs[i] = w.seqs[e.BuildID]
		w.seqs[e.BuildID]++
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := w.conn.Exec(ctx, insert, w.position, time.Now(), keys, organizations, builds, pipelines, numbers, seqs, types, payloads)
	if err != nil {
		return fmt.Errorf("the baseline's commit: %w", err)
	}
	w.position += int64(n)
	return nil
}
