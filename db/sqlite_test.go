package db_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/db/dbtest"
)

func openSQLite(t *testing.T, dir string) *db.SQLite {
	t.Helper()
	s, err := db.OpenSQLite(t.Context(), db.SQLiteOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestSQLite(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T) db.Store { return openSQLite(t, t.TempDir()) })
}

func TestSQLiteDirectoryIsPrivateAndLocked(t *testing.T) {
	t.Parallel()
	// A name with what means something in a URL.
	dir := filepath.Join(t.TempDir(), "data %41?x#y")
	s := openSQLite(t, dir)
	if _, err := db.OpenSQLite(t.Context(), db.SQLiteOptions{Dir: dir}); !errors.Is(err, db.ErrLocked) {
		t.Errorf("second open: %v, want %v", err, db.ErrLocked)
	}
	for name, want := range map[string]os.FileMode{"": 0o700 | os.ModeDir, "events.db": 0o600, "events.db-wal": 0o600, "LOCK": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		} else if info.Mode() != want {
			t.Errorf("%q has mode %v, want %v", name, info.Mode(), want)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	openSQLite(t, dir)
}

func TestSQLiteKeepsEventsOverReopening(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openSQLite(t, dir)
	first := db.Delivery{Key: [32]byte{1}, BuildID: "a", Type: "x", Data: []byte(`{}`)}
	if _, err := s.Append(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openSQLite(t, dir)
	if a, err := s.Append(t.Context(), first); err != nil || !a.Duplicate {
		t.Errorf("the same again: %+v, %v", a, err)
	}
	if a, err := s.Append(t.Context(), db.Delivery{Key: [32]byte{2}, BuildID: "a", Type: "x"}); err != nil || a.Position != 2 || a.Seq != 1 {
		t.Errorf("the next: %+v, %v", a, err)
	}
}

func TestSQLiteOpenEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if _, err := db.OpenSQLite(ctx, db.SQLiteOptions{Dir: dir}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	openSQLite(t, dir) // the lock was given up
}

func TestSQLiteRetention(t *testing.T) {
	t.Parallel()
	dbtest.Retention(t, func(t *testing.T) (db.Store, dbtest.Aging) {
		dir := t.TempDir()
		s := openSQLite(t, dir)
		file := openFile(t, dir)
		return s, func(t *testing.T, days int) {
			t.Helper()
			age := fmt.Sprintf("-%d days", days)
			for _, query := range []string{
				`UPDATE events SET day = date(day, $1)`,
				`UPDATE build_seqs SET day = date(day, $1)`,
				`UPDATE deliveries SET received_at = received_at - 86400000000 * -cast($1 AS INTEGER)`,
			} {
				if _, err := file.ExecContext(t.Context(), query, age); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

func TestSQLiteRetentionFinishesWhatWasNoted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openSQLite(t, dir)
	for n := range 3 {
		appendEvent(t, s, event("a", n))
	}
	if _, err := openFile(t, dir).ExecContext(t.Context(),
		`INSERT INTO dropping SELECT team, day, 2, 2, 1, 'export' FROM events LIMIT 1`); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{1, 0} {
		got, err := s.Retain(t.Context(), keep90Days())
		if err != nil || len(got.Days) != want || want > 0 && got.Days[0].Lost != 1 {
			t.Errorf("dropped %+v, %v", got.Days, err)
		}
		// The third came after the note.
		if events, err := s.ReadAll(t.Context(), db.ReadQuery{}); err != nil || len(events) != 1 || events[0].Position != 3 {
			t.Errorf("left: %+v, %v", events, err)
		}
	}
}

// openFile opens the database of an open store beside it.
func openFile(t *testing.T, dir string) *sql.DB {
	t.Helper()
	file, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "events.db")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file
}

func TestSQLiteMigratesWhatIsThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openSQLite(t, dir)
	before := fill(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.SQLiteMigrateDown(t.Context(), openFile(t, dir), 3); err != nil {
		t.Fatal(err)
	}
	wantFilled(t, openSQLite(t, dir), before)
}
