package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

var errNoDuration = errors.New("no duration")

// parseDuration reads what time.ParseDuration does, and besides it days and
// weeks: 90d, 2w, 1d12h. A day is 24 hours.
func parseDuration(text string) (time.Duration, error) {
	rest, negative := strings.CutPrefix(text, "-")
	var total time.Duration
	for first := true; first || rest != ""; first = false {
		number := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789."))]
		rest = rest[len(number):]
		unit := rest[:len(rest)-len(strings.TrimLeftFunc(rest, isUnit))]
		rest = rest[len(unit):]
		d, err := quantity(number, unit)
		if err != nil || d > math.MaxInt64-total {
			return 0, errNoDuration
		}
		total += d
	}
	if negative {
		total = -total
	}
	return total, nil
}

func isUnit(r rune) bool { return r != '.' && (r < '0' || r > '9') }

func quantity(number, unit string) (time.Duration, error) {
	size := day
	switch unit {
	case "w":
		size = 7 * day
	case "d":
	default:
		if number == "" { // a sign, which does not belong here
			return 0, errNoDuration
		}
		return time.ParseDuration(number + unit)
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || n*float64(size) >= math.MaxInt64 {
		return 0, errNoDuration
	}
	return time.Duration(n * float64(size)), nil
}

// formatDuration writes days where they are whole, else what Go writes without
// the zeros at its end.
func formatDuration(d time.Duration) string {
	if d != 0 && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
