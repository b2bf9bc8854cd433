package db_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/internal/testenv"
	"github.com/build-tracker/build-tracker/stream"
)

// dawdle makes some transactions slow at each place where one may overtake
// another: before and after they get their positions.
const dawdle = `
	CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF random() < 0.1 THEN PERFORM pg_sleep(random() / 50); END IF;
		RETURN NEW;
	END $$;
	CREATE TRIGGER dawdle BEFORE INSERT ON deliveries FOR EACH ROW EXECUTE FUNCTION dawdle();
	CREATE TRIGGER dawdle BEFORE INSERT ON build_seqs FOR EACH ROW EXECUTE FUNCTION dawdle();
	CREATE TRIGGER dawdle BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION dawdle()`

// slowBuilds are those that all writers write to.
var slowBuilds = []string{"a", "b", "c", "d", "e"}

// However slow a writer's transaction is, on whatever replica, and however it
// ends: what a reader has passed by is complete, by position and by seq.
func TestPostgresCursorSkipsNothing(t *testing.T) {
	t.Parallel()
	const replicas, writers, each = 3, 4, 25
	url := testenv.Postgres(t)
	var stores []*db.Postgres
	for range replicas {
		stores = append(stores, openPostgres(t, url))
	}
	execute(t, connect(t, url), dawdle)

	var writing, reading sync.WaitGroup
	written := make(chan struct{})
	for i, s := range stores {
		for w := range writers {
			writing.Go(func() { appendDeliveries(t, s, i*writers+w, each) })
		}
		writing.Go(func() { commitOwn(t, s, i, each) })
		conn := connect(t, url)
		writing.Go(func() { appendSlowly(t, url, conn, i, each) })
	}
	passed := make([][]int64, replicas) // by reader
	passedBy := make([]map[string][]int64, replicas)
	for i, s := range stores {
		reading.Go(func() { passed[i] = passAll(t, s, written) })
		reading.Go(func() { passedBy[i] = passBuilds(t, s, written) })
	}
	writing.Wait()
	close(written)
	reading.Wait()

	var want []int64
	wantOf := make(map[string][]int64)
	for _, e := range readFrom(t, stores[0], 0) {
		want = append(want, e.Position)
		if e.Seq != int64(len(wantOf[e.BuildID])) {
			t.Errorf("build %s: seq %d at position %d, want %d", e.BuildID, e.Seq, e.Position, len(wantOf[e.BuildID]))
		}
		wantOf[e.BuildID] = append(wantOf[e.BuildID], e.Position)
	}
	// Two of ours follow each batch; of the slow transactions one in three ends well.
	if n := replicas*writers*each + 2*replicas*each + replicas*((each+2)/3); len(want) != n {
		t.Errorf("%d events are stored, want %d", len(want), n)
	}
	for i := range stores {
		if diff := cmp.Diff(want, passed[i]); diff != "" {
			t.Errorf("reader %d by position (-stored +passed):\n%s", i, diff)
		}
		if diff := cmp.Diff(wantOf, passedBy[i]); diff != "" {
			t.Errorf("reader %d by seq (-stored +passed):\n%s", i, diff)
		}
	}
}

func randomBuild() string { return slowBuilds[rand.IntN(len(slowBuilds))] }

func appendDeliveries(t *testing.T, s db.Store, writer, n int) {
	for i := range n {
		if _, err := s.Append(t.Context(), event(randomBuild(), writer*n+i)); err != nil {
			t.Error(err)
		}
	}
}

// commitOwn appends events of ours behind what else a batch's transaction does.
func commitOwn(t *testing.T, s db.Store, writer, n int) {
	for i := range n {
		b := db.Batch{Cursor: fmt.Sprint("reader ", writer), From: int64(i), To: int64(i + 1)}
		for k := range 2 {
			id := sha256.Sum256(fmt.Append(nil, writer, i, k))
			b.Own = append(b.Own, db.Own{
				ID: stream.ID(id[:16]), Organization: "acme", BuildID: randomBuild(), Pipeline: "web", Number: 1,
				Type: stream.TypeStatus, Data: []byte(`{}`),
			})
		}
		if err := s.Commit(t.Context(), b); err != nil {
			t.Error(err)
		}
	}
}

// appendSlowly has transactions stay open after their append. In turn they are
// committed, rolled back, and cut off.
func appendSlowly(t *testing.T, url string, conn *pgx.Conn, writer, n int) {
	ctx := t.Context()
	for i := range n {
		if err := func() error {
			tx, err := conn.Begin(ctx)
			if err != nil {
				return err
			}
			key := sha256.Sum256(fmt.Append(nil, "slow", writer, i))
			if _, err := tx.Exec(ctx, `SELECT append_events(ARRAY[$1::bytea], ARRAY['default'], ARRAY['acme'], ARRAY[$2::text], ARRAY['web'],
				ARRAY[1], ARRAY['job.finished'], 1, ''::bytea, ARRAY[0])`, key[:], randomBuild()); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `SELECT pg_sleep(random() / 50)`); err != nil {
				return err
			}
			switch i % 3 {
			case 0:
				return tx.Commit(ctx)
			case 1:
				return tx.Rollback(ctx)
			}
			if err := conn.PgConn().Conn().Close(); err != nil {
				return err
			}
			conn, err = pgx.Connect(ctx, url)
			return err
		}(); err != nil {
			t.Error(err)
			return
		}
	}
	if err := conn.Close(context.WithoutCancel(ctx)); err != nil {
		t.Error(err)
	}
}

// untilRead calls read until it finds nothing that was written before written
// closed.
func untilRead(written <-chan struct{}, read func() (found bool)) {
	for {
		ended := false
		select {
		case <-written:
			ended = true
		default:
		}
		if !read() && ended {
			return
		}
	}
}

// passAll returns the positions of what a reader passes that never looks back.
func passAll(t *testing.T, s db.Store, written <-chan struct{}) (passed []int64) {
	untilRead(written, func() bool {
		after := int64(0)
		if len(passed) > 0 {
			after = passed[len(passed)-1]
		}
		events, err := s.ReadAll(t.Context(), db.ReadQuery{After: after, Limit: 7})
		if err != nil {
			t.Error(err)
		}
		passed = append(passed, positions(events)...)
		return len(events) > 0
	})
	return passed
}

// passBuilds does likewise with each build.
func passBuilds(t *testing.T, s db.Store, written <-chan struct{}) map[string][]int64 {
	passed := make(map[string][]int64)
	next := make(map[string]int64)
	untilRead(written, func() (found bool) {
		for _, build := range slowBuilds {
			events, err := s.ReadBuild(t.Context(), build, next[build], 7)
			if err != nil {
				t.Error(err)
			}
			if len(events) > 0 {
				passed[build] = append(passed[build], positions(events)...)
				next[build] = events[len(events)-1].Seq + 1
				found = true
			}
		}
		return found
	})
	return passed
}

func positions(events []stream.Event) (out []int64) {
	for _, e := range events {
		out = append(out, e.Position)
	}
	return out
}

// readFrom returns all events behind a position.
func readFrom(t *testing.T, s db.Store, after int64) (all []stream.Event) {
	t.Helper()
	for {
		events, err := s.ReadAll(t.Context(), db.ReadQuery{After: after, Limit: 500})
		if err != nil {
			t.Fatal(err)
		}
		if len(events) == 0 {
			return slices.Clip(all)
		}
		all = append(all, events...)
		after = events[len(events)-1].Position
	}
}
