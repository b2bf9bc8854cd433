// Package dbtest holds the stores of package db to one behaviour: one suite, run
// by every backend.
package dbtest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/build-tracker/build-tracker/db"
)

// Run runs the suite. open returns a new, empty store, which the test closes.
func Run(t *testing.T, open func(t *testing.T) db.Store) {
	for _, suite := range []map[string]func(*testing.T, db.Store){
		appends, reads, cursors, builds, notices, owns, reconciliations, jobs, tallies, closing,
	} {
		for name, test := range suite {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				store := open(t)
				t.Cleanup(func() {
					if err := store.Close(); err != nil {
						t.Error(err)
					}
				})
				test(t, store)
			})
		}
	}
}

// start is a time in the past, as a store keeps it.
func start() time.Time { return time.Date(2024, 5, 1, 10, 0, 0, 123456000, time.UTC) }

// delivery returns the nth delivery of a build; an empty one is an agent's.
func delivery(build string, n int) db.Delivery {
	d := db.Delivery{
		Key:          sha256.Sum256(fmt.Appendf(nil, "%s/%d", build, n)),
		Organization: "acme",
		BuildID:      build,
		Type:         "job.finished",
		Data:         fmt.Appendf(nil, `{"n":%d}`, n),
	}
	if build != "" {
		d.Pipeline, d.Number = "web", 7
	}
	return d
}

func mustAppend(t *testing.T, s db.Store, d db.Delivery) db.Appended {
	t.Helper()
	a, err := s.Append(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// must returns v, for calls that have to succeed: must(s.Head(ctx))(t).
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
