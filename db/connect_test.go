package db

import (
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
)

func TestNoConnectionIsToldOnce(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = OpenPostgres(t.Context(), PostgresOptions{URL: "postgres://ada:hush@" + addr + "/builds"})
	if err == nil {
		t.Fatal("it is open")
	}
	text := err.Error()
	for want, times := range map[string]int{
		"no connection to PostgreSQL as user ada to database builds": 1, "connection refused": 1, "DATABASE_URL": 1, "\n": 0, "hush": 0,
	} {
		if n := strings.Count(text, want); n != times {
			t.Errorf("%q is %d times in %q, want %d", want, n, text, times)
		}
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Error("what failed is lost")
	}
}
