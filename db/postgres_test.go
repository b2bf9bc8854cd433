package db_test

import (
	"testing"

	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/db/dbtest"
	"github.com/build-tracker/build-tracker/internal/testenv"
)

func openPostgres(t testing.TB, url string) *db.Postgres {
	t.Helper()
	s, err := db.OpenPostgres(t.Context(), db.PostgresOptions{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T) db.Store { return openPostgres(t, testenv.Postgres(t)) })
}
