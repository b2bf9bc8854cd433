package main

import (
	"bytes"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxText is how many characters are shown of any text from outside.
const maxText = 400

// maxMarks is how many marks a letter may carry.
const maxMarks = 4

// printable returns a text from outside as one line that a terminal can be
// given: no control characters, so no escape sequences; nothing invisible, which
// could turn the line's direction; no towers of marks; and no more than maxText
// characters.
func printable(text string) string {
	var out strings.Builder
	left, marks := maxText, 0
	for _, r := range text {
		if marks++; !unicode.Is(unicode.M, r) {
			marks = 0
		}
		switch {
		case unicode.IsSpace(r):
			r = ' '
		case unicode.Is(unicode.Cc, r), unicode.Is(unicode.Co, r):
			r = utf8.RuneError
		case !unicode.IsPrint(r), unicode.Is(unicode.Variation_Selector, r), marks > maxMarks:
			continue
		}
		if left--; left < 0 {
			out.WriteRune('…')
			break
		}
		out.WriteRune(r)
	}
	return strings.TrimSpace(out.String())
}

// firstLine returns the first line of a commit message that says something.
func firstLine(message string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(message), "\n")
	return printable(line)
}

// harmlessJSON returns the same JSON in bytes that a terminal can be given: in
// JSON only a string can hold control characters, and there they can be escaped.
func harmlessJSON(text []byte) []byte {
	var out bytes.Buffer
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && size == 1:
			out.WriteString(`\ufffd`)
		case r >= utf8.RuneSelf && r <= 0xffff && !unicode.IsPrint(r), r == 0x7f:
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			out.Write(text[:size])
		}
		text = text[size:]
	}
	return out.Bytes()
}

// span is a duration for people, of at most six characters up to 99 hours.
func span(d time.Duration) string {
	d = max(d, 0).Truncate(time.Second)
	h, m, s := int(d/time.Hour), int(d/time.Minute)%60, int(d/time.Second)%60
	switch {
	case h > 0:
		return fmt.Sprintf("%dh%02dm", h, m)
	case m > 0:
		return fmt.Sprintf("%dm%02ds", m, s)
	}
	return fmt.Sprintf("%ds", s)
}

// counted is a number of things: 1 job, 2 jobs.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
