package config

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseDuration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"0": 0, "90m": 90 * time.Minute, "1h30m": 90 * time.Minute, "250ms": 250 * time.Millisecond,
		"1d": day, "2w": 14 * day, "1w2d3h": 9*day + 3*time.Hour, "1.5d": 36 * time.Hour, "-1d": -day, "106751d": 106751 * day,
	} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("%s is %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "d", "1", "1y", "1 d", "1d2", "--1d", "1d-1h", "1.2.3d", "soon", "1D", "1dd", "106752d", "99999999999w", "106751d24h", "1d 2h", "∞d",
	} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q is %v, want none", text, got)
		}
	}
}

func TestDurationReadsAsItIsWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Min(0).Draw(t, "ns"))
		if rapid.Bool().Draw(t, "round") {
			d = d.Truncate(time.Minute)
		}
		text := formatDuration(d)
		if got, err := parseDuration(text); err != nil || got != d {
			t.Fatalf("%v is written %s and read %v, %v", d, text, got, err)
		}
	})
	for d, want := range map[time.Duration]string{90 * day: "90d", 36 * time.Hour: "36h", 90 * time.Minute: "1h30m", 0: "0s", time.Second: "1s"} {
		if got := formatDuration(d); got != want {
			t.Errorf("%v is written %s, want %s", d, got, want)
		}
	}
}
