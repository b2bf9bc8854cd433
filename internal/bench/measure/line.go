package measure

import "fmt"

// Line is one line of the table.
type Line struct {
	// Row is the name that --rows takes; a row may have several lines.
	Row string
	// Name says what is measured.
	Name string
	Unit Unit
	Ours Samples
	// Baseline is empty where the target is a plain number.
	Baseline Samples
	Target   Target
	// Notes say how it was measured this time.
	Notes []string
}

// Ratio is ours over the baseline, a round each; empty without a baseline.
func (l *Line) Ratio() Samples { return l.Ours.Over(l.Baseline) }

// Reached says whether the median reaches the target; true for none.
func (l *Line) Reached() bool {
	switch l.Target.kind {
	case atLeast:
		return l.Ratio().Median() >= l.Target.value
	case atMost:
		return l.Ratio().Median() <= l.Target.value
	case below:
		return l.Ours.Median() < l.Target.value
	}
	return true
}

// Unit is what samples are counted in.
type Unit string

// The units.
const (
	PerSecond    Unit = "/s"
	Milliseconds Unit = "ms"
	Seconds      Unit = "s"
	Kilobytes    Unit = "KB" // of 1,000 bytes
	Megabytes    Unit = "MB" // of 1,000,000 bytes
)

// Target is what a line is to reach. The zero one is none.
type Target struct {
	kind  targetKind
	value float64
}

type targetKind int

const (
	none targetKind = iota
	atLeast
	atMost
	below
)

// AtLeast asks for this many times the baseline, or more.
func AtLeast(times float64) Target { return Target{atLeast, times} }

// AtMost asks for this many times the baseline, or less.
func AtMost(times float64) Target { return Target{atMost, times} }

// Below asks for less than this, in the line's unit.
func Below(value float64) Target { return Target{below, value} }

func (t Target) in(u Unit) string {
	switch t.kind {
	case atLeast:
		return fmt.Sprintf("≥ %g ×", t.value)
	case atMost:
		return fmt.Sprintf("≤ %g ×", t.value)
	case below:
		return fmt.Sprintf("< %g %s", t.value, u)
	}
	return ""
}
