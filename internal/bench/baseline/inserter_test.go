package baseline_test

import (
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/internal/bench/baseline"
	"github.com/build-tracker/build-tracker/internal/testenv"
)

func TestInserterKeepsWhatManyWritersInsert(t *testing.T) {
	t.Parallel()
	url := testenv.Postgres(t)
	if err := db.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	const writers, each = 4, 20
	i, err := baseline.NewInserter(t.Context(), url, writers)
	if err != nil {
		t.Fatal(err)
	}
	var writing sync.WaitGroup
	for range writers {
		writing.Go(func() {
			for range each {
				if err := i.Insert(t.Context(), &baseline.Event{
					Organization: "acme", Pipeline: "web", Number: 1, BuildID: "b", Type: "job.finished", Payload: []byte{0, 255},
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	i.Close()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	type totals struct{ Events, Position, Seq, Bytes int64 }
	var got totals
	if err := conn.QueryRow(t.Context(), `SELECT count(*), max(position), max(seq), sum(octet_length(payload)) FROM plain_events`).
		Scan(&got.Events, &got.Position, &got.Seq, &got.Bytes); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(totals{writers * each, writers * each, writers*each - 1, 2 * writers * each}, got); diff != "" {
		t.Error(diff)
	}
}
