package db

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
)

// Limits on the sessions. A replica that freezes while it holds a lock loses it
// after these, so that it cannot stall the others.
const (
	connectTimeout   = 3 * time.Second
	statementTimeout = 5 * time.Second
	lockTimeout      = 3 * time.Second
	// callTimeout bounds a call from here, the wait for a connection included.
	callTimeout = 5 * time.Second
	// longTimeout bounds what is rare and may take longer: partitions, Rewrite.
	longTimeout = time.Minute
)

const defaultMaxConns = 10

// readBuffer is what a connection reads at once, in bytes: some dozens of events, of
// which pgx's own 8 KiB hold two.
const readBuffer = 64 << 10

// PostgresOptions say how to open a PostgreSQL store.
type PostgresOptions struct {
	// URL is a connection string as libpq and pgx know it. The first schema of
	// its search_path holds everything.
	URL string
	// Logger takes what happens in the background; nil is none.
	Logger *slog.Logger
	// MaxConns bounds the connections, besides two for appends and Ping; 0 is 10.
	MaxConns int
	// QueueSize and QueueBytes bound the deliveries that wait for a commit; 0
	// is 4096 and 64 MiB.
	QueueSize, QueueBytes int
	// Teams whose partitions are made ahead, besides the default team's.
	Teams []string
}

// Postgres is the store on PostgreSQL. Several processes may share one.
type Postgres struct {
	pool *pgxpool.Pool
	// appends are apart, so that no other query keeps a delivery waiting.
	appends *pgxpool.Pool
	group   *groupCommit
	jobs    *river.Client[pgx.Tx]
	logger  *slog.Logger

	close  sync.Once
	closed atomic.Bool // after the last append was answered

	teams      sync.Map // by name: those whose partitions are made ahead
	stopAhead  context.CancelFunc
	aheadEnded chan struct{}
}

var _ Store = (*Postgres)(nil)

// OpenPostgres migrates the database and returns a store on it. The caller
// closes it.
func OpenPostgres(ctx context.Context, o PostgresOptions) (_ *Postgres, err error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxConns <= 0 {
		o.MaxConns = defaultMaxConns
	}
	if err := Migrate(ctx, o.URL); err != nil {
		return nil, err
	}
	p := &Postgres{logger: o.Logger, aheadEnded: make(chan struct{})}
	if p.pool, err = openPool(ctx, o.URL, o.MaxConns, statementTimeout); err != nil {
		return nil, err
	}
	if p.appends, err = openPool(ctx, o.URL, 2, appendTimeout); err != nil {
		p.pool.Close()
		return nil, err
	}
	if p.jobs, err = newJobs(riverpgxv5.New(p.pool)); err != nil {
		p.appends.Close()
		p.pool.Close()
		return nil, err
	}
	p.teams.Store(defaultTeam, nil)
	for _, team := range o.Teams {
		p.teams.Store(team, nil)
	}
	if err := p.makeAhead(ctx); err != nil {
		p.appends.Close()
		p.pool.Close()
		return nil, err
	}
	ahead, stop := context.WithCancel(context.Background())
	p.stopAhead = stop
	go p.keepAhead(ahead)
	p.group = newGroupCommit(p, o.QueueSize, o.QueueBytes)
	return p, nil
}

func openPool(ctx context.Context, url string, maxConns int, statement time.Duration) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	config.MaxConns = int32(maxConns)
	config.ConnConfig.ConnectTimeout = connectTimeout
	config.PingTimeout = connectTimeout
	config.ConnConfig.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		return pgproto3.NewFrontend(bufio.NewReaderSize(r, readBuffer), w)
	}
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		return configure(ctx, conn, statement, lockTimeout)
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	return pool, nil
}

// configure sets up a session. It is done in SQL, because a pooler refuses
// parameters that it does not know at connection.
func configure(ctx context.Context, conn *pgx.Conn, statement, lock time.Duration) error {
	const set = `SELECT set_config('application_name', 'build-tracker', false),
		set_config('synchronous_commit', 'on', false),
		set_config('default_transaction_isolation', 'read committed', false),
		set_config('idle_in_transaction_session_timeout', $1, false),
		set_config('statement_timeout', $2, false),
		set_config('lock_timeout', $3, false)`
	_, err := conn.Exec(ctx, set, pgx.QueryExecModeExec, milliseconds(callTimeout), milliseconds(statement), milliseconds(lock))
	if err != nil {
		return fmt.Errorf("set up the session: %w", err)
	}
	return nil
}

func milliseconds(d time.Duration) string {
	return strconv.FormatInt(d.Milliseconds(), 10)
}

// Ping is Store.Ping.
func (p *Postgres) Ping(ctx context.Context) error {
	if err := p.group.ready(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var writable bool
	err := p.appends.QueryRow(ctx, `SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off' FROM stream_head`).Scan(&writable)
	if err != nil {
		return p.fail("ping", err)
	}
	if !writable {
		return errors.New("the database is read-only")
	}
	return nil
}

// Appending is Store.Appending.
func (p *Postgres) Appending() Appending { return p.group.appending() }

// Close is Store.Close.
func (p *Postgres) Close() error {
	p.close.Do(func() {
		p.stopAhead()
		<-p.aheadEnded
		p.group.close()
		p.closed.Store(true)
		p.appends.Close()
		p.pool.Close()
	})
	return nil
}

// fail says which operation err ended.
func (p *Postgres) fail(op string, err error) error {
	if p.closed.Load() {
		return ErrClosed
	}
	return fmt.Errorf("%s: %w", op, inOneLine(err))
}

// sqlState returns the SQLSTATE that err carries; empty for none.
func sqlState(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}
