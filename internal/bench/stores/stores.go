// Package stores gives a benchmark databases and a Redis of its own, which
// are gone when it ends.
package stores

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/build-tracker/build-tracker/internal/testenv/servers"
)

// Options say where stores are.
type Options struct {
	// DatabaseURL names a PostgreSQL server and a role that may make databases.
	DatabaseURL string
	// Dir is where Redis is started.
	Dir string
}

// Stores are a PostgreSQL server and a private Redis. They are for one
// goroutine.
type Stores struct {
	url       *url.URL
	admin     *pgx.Conn
	redis     *servers.Redis
	databases map[string]bool
}

// Open connects to PostgreSQL and starts a Redis. It refuses a PostgreSQL that
// does not write through to the disk: its figures would mean nothing.
func Open(ctx context.Context, o Options) (_ *Stores, err error) {
	if o.DatabaseURL == "" {
		return nil, errors.New("DATABASE_URL is not set: run this with `make bench`, or under `go run ./internal/testenv/run --`")
	}
	s := &Stores{databases: make(map[string]bool)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.url, err = url.Parse(o.DatabaseURL); err != nil {
		return nil, errors.New("DATABASE_URL is not a URL")
	}
	if s.admin, err = pgx.Connect(ctx, o.DatabaseURL); err != nil {
		return nil, fmt.Errorf("open PostgreSQL: %w", err)
	}
	for _, name := range []string{"fsync", "full_page_writes", "synchronous_commit"} {
		if value, err := s.setting(ctx, name); err != nil {
			return nil, err
		} else if value != "on" {
			return nil, fmt.Errorf("PostgreSQL runs with %s=%s: a commit there is not durable; set it to on", name, value)
		}
	}
	program, err := servers.FindRedis(ctx)
	if err != nil {
		return nil, err
	}
	if s.redis, err = servers.NewRedis(ctx, program, o.Dir); err != nil {
		return nil, err
	}
	return s, nil
}

// Redis is the URL of the Redis.
func (s *Stores) Redis() string { return s.redis.URL() }

// WipeRedis empties it.
func (s *Stores) WipeRedis(ctx context.Context) error { return s.redis.Wipe(ctx) }

// NewDatabase makes a database, empty or a copy of another that nobody is
// connected to, and returns its URL.
func (s *Stores) NewDatabase(ctx context.Context, copyOf string) (string, error) {
	name := "bench_" + strings.ToLower(rand.Text())
	statement := "CREATE DATABASE " + name
	if copyOf != "" {
		template, err := url.Parse(copyOf)
		if err != nil {
			return "", fmt.Errorf("make a database: %w", err)
		}
		statement += " TEMPLATE " + pgx.Identifier{strings.TrimPrefix(template.Path, "/")}.Sanitize()
	}
	if err := s.exec(ctx, statement); err != nil {
		return "", fmt.Errorf("make a database: %w", err)
	}
	s.databases[name] = true
	u := *s.url
	u.Path = "/" + name
	return u.String(), nil
}

// Drop removes a database and the sessions on it.
func (s *Stores) Drop(ctx context.Context, database string) error {
	u, err := url.Parse(database)
	if err != nil {
		return fmt.Errorf("drop a database: %w", err)
	}
	return s.drop(ctx, strings.TrimPrefix(u.Path, "/"))
}

func (s *Stores) drop(ctx context.Context, name string) error {
	if err := s.exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("drop a database: %w", err)
	}
	delete(s.databases, name)
	return nil
}

// Settle has PostgreSQL write out what it owes to the disk, so that it does not
// do so during what is measured next.
func (s *Stores) Settle(ctx context.Context) error {
	if err := s.exec(ctx, "CHECKPOINT"); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}

// exec runs a statement, on a new connection when an interrupt has cut the old
// one.
func (s *Stores) exec(ctx context.Context, statement string) error {
	if s.admin.IsClosed() {
		admin, err := pgx.Connect(ctx, s.url.String())
		if err != nil {
			return err
		}
		s.admin = admin
	}
	_, err := s.admin.Exec(ctx, statement)
	return err
}

// closeTimeout bounds the cleaning up, which happens after an interrupt too.
const closeTimeout = 30 * time.Second

// Close drops all databases that are left and stops the Redis.
func (s *Stores) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	var errs []error
	if s.admin != nil {
		for name := range s.databases {
			errs = append(errs, s.drop(ctx, name))
		}
		errs = append(errs, s.admin.Close(ctx))
	}
	if s.redis != nil {
		errs = append(errs, s.redis.Close())
	}
	return errors.Join(errs...)
}

// Description says what the stores are, for the head of a report.
type Description struct {
	Postgres string // version and what makes a commit durable
	Redis    string // version
	// DataDir is where PostgreSQL keeps its data; empty when it does not tell.
	DataDir string
}

// Describe asks the servers.
func (s *Stores) Describe(ctx context.Context) (Description, error) {
	var d Description
	version, err := s.setting(ctx, "server_version")
	if err != nil {
		return d, err
	}
	method, err := s.setting(ctx, "wal_sync_method")
	if err != nil {
		return d, err
	}
	buffers, err := s.setting(ctx, "shared_buffers")
	if err != nil {
		return d, err
	}
	d.Postgres = fmt.Sprintf("%s, fsync=on (%s), synchronous_commit=on, shared_buffers=%s", version, method, buffers)
	if dir, err := s.setting(ctx, "data_directory"); err == nil { // a superuser is told
		d.DataDir = filepath.Clean(dir)
	}
	d.Redis, err = s.redisVersion(ctx)
	return d, err
}

func (s *Stores) setting(ctx context.Context, name string) (string, error) {
	var value string
	if err := s.admin.QueryRow(ctx, "SELECT current_setting($1)", name).Scan(&value); err != nil {
		return "", fmt.Errorf("ask PostgreSQL for %s: %w", name, err)
	}
	return value, nil
}
