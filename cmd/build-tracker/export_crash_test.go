package main

import (
	"errors"
	"math/rand"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/analytics"
	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/internal/testenv"
	"github.com/build-tracker/build-tracker/internal/testenv/bigquery"
	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
)

// Servers that are killed at any moment, one after the other, while deliveries come
// and BigQuery drops connections: every row that follows from the stream is there
// once.
func TestExportSurvivesKilledServers(t *testing.T) {
	t.Parallel()
	to, err := bigquery.New(bigquery.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	database := testenv.Postgres(t)
	env := []string{
		"NOTICES=off", "DATABASE_URL=" + database, "REDIS_URL=" + testenv.Redis(t),
		"BIGQUERY_PROJECT=test", "BIGQUERY_DATASET=ci", "BIGQUERY_ENDPOINT=" + to.URL(), "BIGQUERY_STORAGE_ENDPOINT=" + to.StorageAddr(),
	}
	dice := rand.New(rand.NewSource(5))
	world := traffic.New(dice.Intn, traffic.Options{Builds: 40, Triggers: true})
	server := startProcess(t, env...)
	for part := range slices.Chunk(world.Deliveries, 1+len(world.Deliveries)/6) {
		if err := (&traffic.Poster{Target: func() string { return server.url }, Workers: 4}).Post(t.Context(), part); err != nil {
			t.Fatal(err)
		}
		before := to.Counts().Appends
		wait(t, func() bool { return to.Counts().Appends > before }) // it is at it
		to.DropAfter(1)
		to.DropBefore(1)
		server.kill()
		server = startProcess(t, env...)
	}
	store, err := db.OpenPostgres(t.Context(), db.PostgresOptions{URL: database})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	wait(t, func() bool {
		head, headErr := store.Head(t.Context())
		tracker, trackerErr := store.Cursor(t.Context(), "tracker")
		export, exportErr := store.Cursor(t.Context(), "bigquery")
		return errors.Join(headErr, trackerErr, exportErr) == nil && tracker.Position == head && export.Position == head
	})

	type place struct{ Position, Index any }
	want := make(map[string][]place)
	d := analytics.NewDeriver(store)
	for after := int64(0); ; {
		events, err := store.ReadAll(t.Context(), db.ReadQuery{After: after})
		if err != nil {
			t.Fatal(err)
		}
		if len(events) == 0 {
			break
		}
		for i := range events {
			rows, err := d.Append(t.Context(), nil, &events[i])
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rows {
				p := place{Position: events[i].Position}
				if n := slices.IndexFunc(r.Table.Columns, func(c analytics.Column) bool { return c.Name == "index" }); n >= 0 {
					p.Index = r.Values[n]
				}
				want[r.Table.Name] = append(want[r.Table.Name], p)
			}
		}
		after = events[len(events)-1].Position
	}
	for _, table := range analytics.Tables() {
		var got []place
		for _, row := range to.Rows("ci", table.Name) {
			got = append(got, place{row["position"], row["index"]})
		}
		if diff := cmp.Diff(want[table.Name], got); diff != "" {
			t.Errorf("rows of %s (-want +got):\n%.3000s", table.Name, diff)
		}
	}
	if len(want["jobs"]) < 100 || len(want["builds"]) < 40 {
		t.Errorf("only %d jobs of %d builds", len(want["jobs"]), len(want["builds"]))
	}
}
