package testenv_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/build-tracker/build-tracker/internal/testenv"
)

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	return conn
}

func exec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, conn *pgx.Conn) (n int) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM thing").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestPostgresSchemasAreSeparate(t *testing.T) {
	t.Parallel()
	for _, url := range []string{testenv.Postgres(t), testenv.Postgres(t)} {
		conn := connect(t, url)
		exec(t, conn, "CREATE TABLE thing AS SELECT 1")
		if got := count(t, conn); got != 1 {
			t.Errorf("%d rows in a new schema, want 1", got)
		}
	}
}

func TestPostgresSchemaIsDroppedWithItsTest(t *testing.T) {
	t.Parallel()
	var schema string
	t.Run("a test", func(t *testing.T) {
		conn := connect(t, testenv.Postgres(t))
		if err := conn.QueryRow(t.Context(), "SELECT current_schema").Scan(&schema); err != nil {
			t.Fatal(err)
		}
	})
	conn := connect(t, testenv.Postgres(t))
	var exists bool
	err := conn.QueryRow(t.Context(), "SELECT to_regnamespace($1) IS NOT NULL", schema).Scan(&exists)
	if err != nil {
		t.Fatal(err)
	}
	if exists {
		t.Errorf("schema %s is still there", schema)
	}
}

func TestPostgresServerKeepsCommitsOverRestarts(t *testing.T) {
	t.Parallel()
	server := testenv.StartPostgres(t)
	for name, end := range map[string]func(){"stop": server.Stop, "kill": server.Kill} {
		conn := connect(t, server.URL())
		exec(t, conn, "CREATE TABLE thing AS SELECT 1")
		end()
		if err := conn.Ping(t.Context()); err == nil {
			t.Errorf("after %s: the session lives", name)
		}
		server.Start()
		conn = connect(t, server.URL())
		if got := count(t, conn); got != 1 {
			t.Errorf("after %s: %d rows, want 1", name, got)
		}
		exec(t, conn, "DROP TABLE thing")
	}
}

func TestRedisServerForgetsAndIsSetBack(t *testing.T) {
	t.Parallel()
	server := testenv.StartRedis(t)
	options, err := redis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	set := func(value string) {
		t.Helper()
		if err := client.Set(t.Context(), "key", value, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	want := func(when, want string) {
		t.Helper()
		if got := client.Get(t.Context(), "key").Val(); got != want {
			t.Errorf("after %s: %q, want %q", when, got, want)
		}
	}
	set("old")
	dump := server.Dump()
	set("new")
	server.Restore(dump)
	want("restore", "old")
	server.Stop()
	server.Start()
	want("restart", "")
	set("again")
	server.Wipe()
	want("wipe", "")
}
