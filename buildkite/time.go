package buildkite

import (
	"strings"
	"time"
)

// parseTime reads a time as Buildkite writes them: RFC 3339, such as
// 2024-05-01T10:00:00.123Z, and in old payloads 2018-07-01 20:14:38 UTC. The
// result is in UTC. What is no time, or lies before 1970 or after 9999, is the
// zero time.
func parseTime(b []byte) time.Time {
	t, ok := parseUTC(b)
	if !ok {
		var err error
		s := string(b)
		if day, found := strings.CutSuffix(s, " UTC"); found {
			t, err = time.Parse("2006-01-02 15:04:05", day)
		} else {
			t, err = time.Parse(time.RFC3339, s)
		}
		if err != nil {
			return time.Time{}
		}
		t = t.UTC()
	}
	if t.Unix() <= 0 || t.Year() > 9999 {
		return time.Time{}
	}
	return t
}

// parseUTC reads the common form: up to nine decimals, and Z.
func parseUTC(b []byte) (time.Time, bool) {
	const form = "0000-00-00T00:00:00"
	if len(b) <= len(form) || len(b) > len(form)+11 || b[len(b)-1] != 'Z' {
		return time.Time{}, false
	}
	for i := range len(form) {
		if form[i] == '0' && (b[i] < '0' || b[i] > '9') || form[i] != '0' && form[i] != b[i] {
			return time.Time{}, false
		}
	}
	two := func(i int) int { return int(b[i]-'0')*10 + int(b[i+1]-'0') }
	year, month, day := two(0)*100+two(2), two(5), two(8)
	hour, minute, second := two(11), two(14), two(17)
	nanos := 0
	if fraction := b[len(form) : len(b)-1]; len(fraction) > 0 {
		if fraction[0] != '.' || len(fraction) == 1 {
			return time.Time{}, false
		}
		unit := int(time.Second)
		for _, c := range fraction[1:] {
			if c < '0' || c > '9' {
				return time.Time{}, false
			}
			unit /= 10
			nanos += int(c-'0') * unit
		}
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.UTC)
	// time.Date carries over what is out of range.
	ok := t.Day() == day && int(t.Month()) == month && hour < 24 && minute < 60 && second < 60
	return t, ok
}
