package simulate

import (
	"slices"
	"time"
)

const day24 = 24 * time.Hour

// rhythm says how the work of all days is spread over the hours.
type rhythm struct {
	start time.Time
	// hours are where each one ends, as an offset from start, and the part of
	// all work that is done by then.
	hours []hour
}

type hour struct {
	end  time.Duration
	done float64
}

// newRhythm covers so long a time from start on.
func newRhythm(start time.Time, length time.Duration) *rhythm {
	r := &rhythm{start: start}
	sum := 0.0
	for from := time.Duration(0); from < length; from += time.Hour {
		to := min(from+time.Hour, length)
		sum += busy(start.Add(from)) * (to - from).Hours()
		r.hours = append(r.hours, hour{to, sum})
	}
	for i := range r.hours {
		r.hours[i].done /= sum
	}
	return r
}

// when returns the time at which a part of all work, from 0 to 1, is done.
func (r *rhythm) when(done float64) time.Time {
	i, _ := slices.BinarySearchFunc(r.hours, done, func(h hour, done float64) int {
		if h.done < done {
			return -1
		}
		return 1
	})
	i = min(i, len(r.hours)-1)
	var before hour
	if i > 0 {
		before = r.hours[i-1]
	}
	h := r.hours[i]
	part := (done - before.done) / (h.done - before.done)
	offset := before.end + time.Duration(part*float64(h.end-before.end))
	return r.start.Add(offset.Truncate(time.Millisecond))
}

// busy says how much is done in the hour that begins at t, compared with the
// busiest.
func busy(t time.Time) float64 {
	load := 0.03 // schedules, bots and other time zones
	switch h := t.Hour(); {
	case h == 12:
		load = 0.6
	case h >= 9 && h < 18:
		load = 1
	case h == 8 || h >= 18 && h < 20:
		load = 0.4
	}
	if !isWorkday(t) {
		load = min(load, 0.08)
	}
	return load
}

func isWorkday(t time.Time) bool {
	return t.Weekday() != time.Saturday && t.Weekday() != time.Sunday
}
