package buildkite

import (
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	t.Parallel()
	utc := func(year int, month time.Month, day, hour, minute, second, nanos int) time.Time {
		return time.Date(year, month, day, hour, minute, second, nanos, time.UTC)
	}
	tests := []struct {
		text string
		want time.Time
	}{
		{"2024-05-01T10:00:00.123Z", utc(2024, 5, 1, 10, 0, 0, 123e6)},
		{"2024-05-01T10:00:00Z", utc(2024, 5, 1, 10, 0, 0, 0)},
		{"2024-02-29T23:59:59.999999999Z", utc(2024, 2, 29, 23, 59, 59, 999999999)},
		{"2024-05-01T10:00:00.5+10:00", utc(2024, 5, 1, 0, 0, 0, 5e8)},
		{"2024-05-01T10:00:00-07:30", utc(2024, 5, 1, 17, 30, 0, 0)},
		{"2018-07-01 20:14:38 UTC", utc(2018, 7, 1, 20, 14, 38, 0)},
		{"2018-07-01 20:14:38.25 UTC", utc(2018, 7, 1, 20, 14, 38, 25e7)},
		{"9999-12-31T23:59:59Z", utc(9999, 12, 31, 23, 59, 59, 0)},
		{"1970-01-01T00:00:01Z", utc(1970, 1, 1, 0, 0, 1, 0)},
	}
	for _, tt := range tests {
		got := parseTime([]byte(tt.text))
		if !got.Equal(tt.want) || got.Location() != time.UTC {
			t.Errorf("%s is %v, want %v", tt.text, got, tt.want)
		}
	}
	for _, text := range []string{
		"", "now", "2024-05-01", "2024-05-01T10:00:00", "2024-05-01T10:00:00.Z", "2024-05-01T10:00:00.xZ",
		"2024-05-01T10:00:00xZ", "2024-13-01T10:00:00Z", "2024-00-01T10:00:00Z", "2023-02-29T10:00:00Z",
		"2024-05-00T10:00:00Z", "2024-05-01T24:00:00Z", "2024-05-01T10:60:00Z", "2024-05-01T10:00:60Z",
		"2024-05-01 10:00:00Z", "2024/05/01T10:00:00Z", "2018-07-01 20:14:38 PST", "1970-01-01T00:00:00Z",
		"1969-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-10:00", "２024-05-01T10:00:00Z",
	} {
		if got := parseTime([]byte(text)); !got.IsZero() {
			t.Errorf("%q is %v, want no time", text, got)
		}
	}
}
