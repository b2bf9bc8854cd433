package measure

import (
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"
)

var head = []string{"row", "what", "ours: median [min..max]", "baseline: median [min..max]", "ratio", "target", "reached"}

// WriteTable writes lines as aligned text, and their notes below it.
func WriteTable(w io.Writer, lines []Line) error {
	cells := [][]string{head}
	for i := range lines {
		cells = append(cells, lines[i].cells())
	}
	var out strings.Builder
	widths := make([]int, len(head))
	for _, row := range cells {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range cells {
		var text strings.Builder
		for i, cell := range row {
			text.WriteString(cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
		}
		out.WriteString(strings.TrimRight(text.String(), " ") + "\n")
	}
	out.WriteString("\n")
	for _, l := range lines {
		for _, note := range l.Notes {
			fmt.Fprintf(&out, "%s: %s: %s\n", l.Row, l.Name, note)
		}
	}
	_, err := io.WriteString(w, strings.TrimRight(out.String(), "\n")+"\n")
	return err
}

func (l *Line) cells() []string {
	ratio, reached := "", ""
	if len(l.Baseline) > 0 {
		ratio = spread(l.Ratio(), "")
	}
	if l.Target.kind != none {
		reached = map[bool]string{true: "yes", false: "no"}[l.Reached()]
	}
	return []string{l.Row, l.Name, spread(l.Ours, l.Unit), spread(l.Baseline, l.Unit), ratio, l.Target.in(l.Unit), reached}
}

// spread is "median unit [min..max]"; empty of none.
func spread(s Samples, u Unit) string {
	if len(s) == 0 {
		return ""
	}
	return fmt.Sprintf("%s [%s..%s]", strings.TrimSpace(digits(s.Median())+" "+string(u)), digits(s.Min()), digits(s.Max()))
}

// digits writes a number with three significant digits at least, and commas
// between thousands.
func digits(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "–"
	}
	switch size := math.Abs(v); {
	case size < 1:
		return fmt.Sprintf("%.3f", v)
	case size < 10:
		return fmt.Sprintf("%.2f", v)
	case size < 100:
		return fmt.Sprintf("%.1f", v)
	}
	text := fmt.Sprintf("%.0f", v)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
