package db

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// connectError is a connection to PostgreSQL that was not made, in one line.
type connectError struct {
	text string
	err  error
}

func (e *connectError) Error() string { return e.text }
func (e *connectError) Unwrap() error { return e.err }

// inOneLine says once why there is no connection. pgx tells of each try: it makes one
// with TLS and one without where either will do, and so often says the same twice, or
// that a server without TLS has none. An error of another kind stays as it is.
func inOneLine(err error) error {
	var c *pgconn.ConnectError
	if !errors.As(err, &c) {
		return err
	}
	var causes []string
	for line := range strings.Lines(c.Unwrap().Error()) {
		line = strings.TrimSpace(line)
		if !slices.ContainsFunc(causes, func(said string) bool { return strings.Contains(said, line) }) {
			causes = append(causes, line)
		}
	}
	if others := slices.DeleteFunc(slices.Clone(causes), func(text string) bool {
		return strings.HasSuffix(text, "server refused TLS connection")
	}); len(others) > 0 {
		causes = others
	}
	return &connectError{
		text: fmt.Sprintf("no connection to PostgreSQL as user %s to database %s: %s", c.Config.User, c.Config.Database, strings.Join(causes, "; ")),
		err:  err,
	}
}
