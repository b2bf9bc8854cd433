package child

import (
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	t.Parallel()
	const rest = " S 1 1 1 0 -1 4194560 9 0 0 0 123 45 7 8 20 0 9 0 100 200 300"
	for name, tc := range map[string]struct {
		stat string
		want time.Duration
	}{
		"of a program":             {"77 (build-tracker)" + rest, 1680 * time.Millisecond},
		"of one with a wild name":  {"77 (a) R 9 9 (b c)" + rest, 1680 * time.Millisecond},
		"of a file that is cut":    {"77 (build-tracker) S 1 1", -1},
		"of a file without fields": {"", -1},
		"of what is no number":     {"77 (a) S 1 1 1 0 -1 4194560 9 0 0 0 x 45 7 8", -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parseStat([]byte(tc.stat))
			if err != nil {
				got = -1
			}
			if got != tc.want {
				t.Errorf("%s, %v; want %s", got, err, tc.want)
			}
		})
	}
}
