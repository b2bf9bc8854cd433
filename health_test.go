package buildtracker

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
)

// However often a store is asked, its going and its coming back are logged once.
func TestAStoreThatGoesAwayIsLoggedOnce(t *testing.T) {
	t.Parallel()
	said := new(logged)
	h := &health{s: &Server{log: slog.New(slog.NewTextHandler(said, nil))}, away: make(map[string]bool)}
	for _, err := range []error{nil, errors.New("no route"), errors.New("no route"), nil, nil} {
		h.noticed("redis", err)
		h.noticed("database", nil)
	}
	for text, times := range map[string]int{
		`msg="a store does not answer" store=redis error="no route"`: 1, `msg="a store answers again" store=redis`: 1, "store=database": 0,
	} {
		if n := strings.Count(said.String(), text); n != times {
			t.Errorf("%s is logged %d times:\n%s", text, n, said)
		}
	}
}
