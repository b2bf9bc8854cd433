package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pressly/goose/v3/database"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	_ "modernc.org/sqlite" // the driver
)

// sqliteReaders bounds the connections that read while another writes.
const sqliteReaders = 4

// storeFile is the store in the data directory.
const storeFile = "events.db"

// SQLiteOptions say how to open the embedded store.
type SQLiteOptions struct {
	// Dir is the data directory. It is made if it is not there, with the store.
	Dir string
	// Existing: the store has to be there already.
	Existing bool
	// QueueSize and QueueBytes bound the deliveries that wait for a commit; 0
	// is 4096 and 64 MiB.
	QueueSize, QueueBytes int
}

// SQLite is the embedded store: one file, one process.
type SQLite struct {
	// writer has one connection: SQLite has one writer at a time, and waiting
	// here is cheaper than its busy handler.
	writer *sql.DB
	reader *sql.DB
	reads  statements
	insert insertStatements
	group  *groupCommit
	jobs   *river.Client[*sql.Tx]
	lock   *os.File
	// retaining is held by a Retain that is under way.
	retaining sync.Mutex

	close  sync.Once
	closed atomic.Bool // after the last append was answered
}

var _ Store = (*SQLite)(nil)

// OpenSQLite opens Dir/events.db, made and migrated if need be. The error is
// ErrLocked when another process has the directory, and ErrNoStore when there has to
// be a store and is none. The caller closes the store.
func OpenSQLite(ctx context.Context, o SQLiteOptions) (_ *SQLite, err error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if o.Existing {
		if _, err := os.Stat(filepath.Join(dir, storeFile)); errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%w in %s", ErrNoStore, dir)
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory, which DATA_DIR names: %w", err)
	}
	s := new(SQLite)
	if s.lock, err = lockDir(dir); err != nil {
		return nil, err
	}
	if err := s.open(ctx, filepath.Join(dir, storeFile)); err != nil {
		return nil, errors.Join(fmt.Errorf("open database: %w", err), s.release())
	}
	s.group = newGroupCommit(s, o.QueueSize, o.QueueBytes)
	return s, nil
}

func (s *SQLite) open(ctx context.Context, path string) (err error) {
	// Made here, so that nobody else can read it or the files beside it.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if s.writer, err = sql.Open("sqlite", sqliteURL(path, "immediate")); err != nil {
		return err
	}
	s.writer.SetMaxOpenConns(1)
	if err := migrate(ctx, s.writer, database.DialectSQLite3, "migrations/sqlite"); err != nil {
		return err
	}
	driver := riversqlite.New(s.writer)
	if err := migrateJobs(ctx, driver); err != nil {
		return err
	}
	if s.jobs, err = newJobs(driver); err != nil {
		return err
	}
	if s.reader, err = sql.Open("sqlite", sqliteURL(path, "deferred")+"&_pragma=query_only(1)"); err != nil {
		return err
	}
	s.reader.SetMaxOpenConns(sqliteReaders)
	s.reader.SetMaxIdleConns(sqliteReaders)
	s.reads.db = s.reader
	return s.insert.prepare(ctx, s.writer)
}

// sqliteURL names a database. synchronous=FULL with WAL syncs at each commit.
func sqliteURL(path, lock string) string {
	u := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: "_txlock=" + lock +
		"&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)" +
		"&_pragma=journal_size_limit(67108864)&_pragma=cache_size(-16000)"}
	return u.String()
}

// write runs f in the one writing transaction.
func (s *SQLite) write(ctx context.Context, op string, timeout time.Duration, f func(ctx context.Context, tx *sql.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := func() error {
		tx, err := s.writer.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // after a commit it does nothing
		if err := f(ctx, tx); err != nil {
			return err
		}
		return tx.Commit()
	}()
	if err != nil {
		return s.fail(op, err)
	}
	return nil
}

// exec runs one statement that writes.
func (s *SQLite) exec(ctx context.Context, op, query string, args ...any) (changed int64, err error) {
	err = s.write(ctx, op, callTimeout, func(ctx context.Context, tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, query, args...)
		if err != nil {
			return err
		}
		changed, err = result.RowsAffected()
		return err
	})
	return changed, err
}

// query calls scan for each row.
func (s *SQLite) query(ctx context.Context, op string, scan func(rows *sql.Rows) error, query string, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	prepared, err := s.reads.get(ctx, query) //nolint:sqlclosecheck // release does
	if err != nil {
		return s.fail(op, err)
	}
	rows, err := prepared.QueryContext(ctx, args...)
	if err != nil {
		return s.fail(op, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return s.fail(op, err)
		}
	}
	if err := rows.Err(); err != nil {
		return s.fail(op, err)
	}
	return nil
}

func (s *SQLite) count(ctx context.Context, op, query string) (n int64, err error) {
	err = s.query(ctx, op, func(rows *sql.Rows) error { return rows.Scan(&n) }, query)
	return n, err
}

// fail says which operation err ended.
func (s *SQLite) fail(op string, err error) error {
	if s.closed.Load() {
		return ErrClosed
	}
	return fmt.Errorf("%s: %w", op, err)
}

// Ping is Store.Ping.
func (s *SQLite) Ping(ctx context.Context) error {
	if err := s.group.ready(); err != nil {
		return err
	}
	return s.write(ctx, "ping", callTimeout, func(context.Context, *sql.Tx) error { return nil })
}

// Appending is Store.Appending.
func (s *SQLite) Appending() Appending { return s.group.appending() }

// Close is Store.Close.
func (s *SQLite) Close() error {
	var err error
	s.close.Do(func() {
		s.group.close()
		s.closed.Store(true)
		if err = s.release(); err != nil {
			err = fmt.Errorf("close database: %w", err)
		}
	})
	return err
}

// release closes what is open, the lock last.
func (s *SQLite) release() error {
	var errs []error
	errs = append(errs, s.reads.close())
	if s.reader != nil {
		errs = append(errs, s.reader.Close())
	}
	errs = append(errs, s.insert.close())
	if s.writer != nil {
		errs = append(errs, s.writer.Close())
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

// micros is a time as SQLite stores it; nil for the zero time.
func micros(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	us := t.UnixMicro()
	return &us
}

// fromMicros reads what micros wrote.
func fromMicros(us *int64) time.Time {
	if us == nil {
		return time.Time{}
	}
	return time.UnixMicro(*us).UTC()
}
