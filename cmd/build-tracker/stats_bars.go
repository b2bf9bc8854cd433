package main

import (
	"fmt"
	"strings"
	"time"
)

// levels are the heights of a bar.
const levels = "▁▂▃▄▅▆▇█"

// widestBar is how many columns a bar takes where there is room.
const widestBar = 3

// maxBars bounds the days that are drawn, whatever a server answers.
const maxBars = 10_000

// bars draws the failures of each day, or of several where they would not fit, with
// a line that says what a bar stands for.
func (s *seenStats) bars(width int) []line {
	first, last := startOf(s.Since), startOf(*s.Until)
	days := int(last.Sub(first)/(24*time.Hour)) + 1
	if days < 2 || days > maxBars || width < 1 {
		return nil
	}
	each := (days + width - 1) / width // days a bar
	type bar struct{ builds, failures int64 }
	all := make([]bar, (days+each-1)/each)
	var most int64
	for _, d := range s.Days {
		day, err := time.Parse(time.DateOnly, d.Date)
		i := int(day.Sub(first) / (24 * time.Hour))
		if err != nil || day.Before(first) || i >= days {
			continue
		}
		b := &all[i/each]
		b.builds += d.Builds
		b.failures += d.Failures
		most = max(most, b.failures)
	}
	columns := min(width/len(all), widestBar)
	heights := []rune(levels)
	drawn := line(nil)
	for _, b := range all {
		text, look := " ", style("")
		switch {
		case b.failures > 0:
			text, look = string(heights[int(float64(b.failures)/float64(most)*float64(len(heights)-1))]), red
		case b.builds > 0:
			text, look = "·", dim
		}
		drawn = drawn.add(strings.Repeat(text, columns), look)
	}
	unit := "a day"
	if each > 1 {
		unit = fmt.Sprintf("in %d days", each)
	}
	legend := fmt.Sprintf("%s to %s, failures %s, at most %d", first.Format(time.DateOnly), last.Format(time.DateOnly), unit, most)
	return []line{drawn, line(nil).add(legend, dim)}
}

// startOf is the start of a time's day, UTC.
func startOf(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }
