package main

import "github.com/rivo/uniseg"

// style is how a text looks; the zero style is the terminal's own.
type style string

// The styles, as the parameters of SGR (ECMA-48, 8.3.117).
const (
	bold   style = "1"
	dim    style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	cyan   style = "36"
)

// styleOf returns the style of a word for how something stands.
func styleOf(word string) style {
	switch word {
	case "failed", "failing", "timed out", "expired":
		return red
	case "passed", "fixed":
		return green
	case "running":
		return cyan
	case "canceled", "canceling", "blocked", "unknown":
		return yellow
	}
	return dim
}

// cell is what a terminal shows as one character, of one or two columns.
type cell struct {
	text  string
	width int
	style style
}

// line is a line of a terminal. Its texts are printable.
type line []cell

// add appends a text.
func (l line) add(text string, s style) line {
	state := -1
	for text != "" {
		var c cell
		c.text, text, c.width, state = uniseg.FirstGraphemeClusterInString(text, state)
		c.style = s
		if c.width > 0 {
			l = append(l, c)
		}
	}
	return l
}

// pad appends spaces up to a width.
func (l line) pad(width int) line {
	for n := l.width(); n < width; n++ {
		l = append(l, cell{" ", 1, ""})
	}
	return l
}

// width returns how many columns the line takes.
func (l line) width() int {
	width := 0
	for _, c := range l {
		width += c.width
	}
	return width
}

// cut returns the line within a width, which is positive: its end gives way to
// an ellipsis.
func (l line) cut(width int) line {
	if l.width() <= width {
		return l
	}
	used := 0
	for i, c := range l {
		if used+c.width > width-1 {
			return append(l[:i:i], cell{"…", 1, c.style})
		}
		used += c.width
	}
	return l
}
