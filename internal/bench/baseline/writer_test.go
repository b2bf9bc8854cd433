package baseline_test

import (
	"crypto/sha256"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/build-tracker/build-tracker/internal/bench/baseline"
	"github.com/build-tracker/build-tracker/internal/testenv"
)

func TestWriterKeepsWhatManyProducersAppend(t *testing.T) {
	t.Parallel()
	url := testenv.Postgres(t)
	w, err := baseline.NewWriter(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	const producers, each = 8, 25
	var producing sync.WaitGroup
	for p := range producers {
		producing.Go(func() {
			for n := range each {
				if err := w.Append(baseline.Event{
					Key: sha256.Sum256(fmt.Append(nil, p, " ", n)), Organization: "acme", Pipeline: "web", Number: int64(p),
					BuildID: fmt.Sprint("build-", p), Type: "job.finished", Payload: []byte{0, 255},
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	producing.Wait()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	type totals struct{ Events, Position, Builds, Seq int64 }
	var got totals
	if err := conn.QueryRow(t.Context(), `SELECT count(*), max(position), count(DISTINCT build_id), max(seq) FROM baseline_events`).
		Scan(&got.Events, &got.Position, &got.Builds, &got.Seq); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(totals{producers * each, producers * each, producers, each - 1}, got); diff != "" {
		t.Error(diff)
	}
}

func TestWriterTellsOfAFailedCommit(t *testing.T) {
	t.Parallel()
	w, err := baseline.NewWriter(t.Context(), testenv.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	e := baseline.Event{BuildID: "b", Type: "job.finished", Payload: []byte{1}}
	if err := w.Append(e); err != nil {
		t.Fatal(err)
	}
	if err := w.Append(e); err == nil {
		t.Error("a key that is there already is taken")
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}
