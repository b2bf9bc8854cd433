package testenv

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/build-tracker/build-tracker/internal/testenv/servers"
)

// cleanupTimeout bounds what a test does to its servers after it ended.
const cleanupTimeout = 30 * time.Second

// Postgres returns the URL of a new, empty schema on the server that
// DATABASE_URL names. The schema is the only one in the search path, and is
// dropped when the test ends. What is per database is shared with other tests:
// advisory locks, and the channels of LISTEN.
//
// Under -short the test is skipped.
func Postgres(t testing.TB) string {
	t.Helper()
	skipShort(t, "PostgreSQL")
	base := os.Getenv("DATABASE_URL")
	if base == "" {
		t.Fatal("DATABASE_URL is not set: run this with `make test`, or `go run ./internal/testenv/run -- go test …`; or with -short, without PostgreSQL")
	}
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal("DATABASE_URL is not a URL")
	}
	schema := "test_" + strings.ToLower(rand.Text())
	execute(t.Context(), t, base, "CREATE SCHEMA "+schema)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
		defer cancel()
		execute(ctx, t, base, "DROP SCHEMA "+schema+" CASCADE")
	})
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}

func execute(ctx context.Context, t testing.TB, url, sql string) {
	t.Helper()
	if err := func() error {
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
		return nil
	}(); err != nil {
		t.Fatal(err)
	}
}

// PostgresServer is a PostgreSQL server that belongs to one test.
type PostgresServer struct {
	t      testing.TB
	server *servers.Postgres
}

// StartPostgres starts a PostgreSQL server that the test may stop, kill and
// start again. It ends with the test. Under -short the test is skipped.
func StartPostgres(t testing.TB) *PostgresServer {
	t.Helper()
	skipShort(t, "PostgreSQL")
	bin, err := servers.FindPostgres(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	server, err := servers.NewPostgres(t.Context(), bin, tempDir(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return &PostgresServer{t, server}
}

// URL is where the server is; it stays the same over restarts.
func (p *PostgresServer) URL() string { return p.server.URL() }

// Start starts a stopped server and returns when it answers.
func (p *PostgresServer) Start() {
	p.t.Helper()
	if err := p.server.Start(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
}

// Stop shuts the server down: sessions are cut, what was committed is kept.
func (p *PostgresServer) Stop() {
	p.t.Helper()
	if err := p.server.Stop(); err != nil {
		p.t.Fatal(err)
	}
}

// Kill ends the server and its sessions at once, without a shutdown.
func (p *PostgresServer) Kill() { p.server.Kill() }
