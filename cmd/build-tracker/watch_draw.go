package main

import (
	"slices"
	"strings"
	"time"
)

// canvas is what there is to draw on.
type canvas struct {
	// width and height are a terminal's: the drawing leaves its last line free,
	// for the cursor.
	width, height int
	now           time.Time
}

// Columns of the list of steps.
const (
	gap         = "  "
	wordColumn  = 8 // canceled
	spanColumn  = 6 // 59m59s
	leastNames  = 8
	leastDetail = 8
	shortCommit = 7
)

// draw returns the build as lines that fit.
func (b *seenBuild) draw(address string, c canvas) []line {
	lines := b.header(address, c)
	if room := c.height - 1 - len(lines) - 1; room > 0 && len(b.Steps) > 0 {
		lines = append(append(lines, nil), b.steps(room, c)...)
	}
	lines = lines[:min(len(lines), max(c.height-1, 1))]
	for i, l := range lines {
		lines[i] = l.cut(max(c.width, 1))
	}
	return lines
}

// header returns what is known of the build itself.
func (b *seenBuild) header(address string, c canvas) []line {
	word := b.word()
	if word == "" {
		return []line{line(nil).add(address, bold).add(gap+"nothing is known of it yet", dim)}
	}
	first := line(nil).add(address, bold).add(gap, "").add(word, styleOf(word))
	if took, ok := b.took(c.now); ok {
		first = first.add(gap+span(took), "")
	}
	if branch := printable(b.Branch); branch != "" {
		first = first.add(gap+branch, "")
	}
	lines := []line{first}
	commit := []rune(printable(b.Commit))
	commit = commit[:min(len(commit), shortCommit)]
	if text := strings.TrimSpace(string(commit) + " " + firstLine(b.Message)); text != "" {
		lines = append(lines, line(nil).add(text, ""))
	}
	if row := b.row(); row != "" {
		lines = append(lines, line(nil).add(row, red))
	}
	return lines
}

// steps returns at most room lines, a step each. Where there are more steps,
// those that failed or run come first, and the last line counts the others.
func (b *seenBuild) steps(room int, c canvas) []line {
	type shown struct {
		*seenStep
		name line
		word string
	}
	all := make([]shown, len(b.Steps))
	for i := range b.Steps {
		s := &b.Steps[i]
		all[i] = shown{s, line(nil).add(s.label(), ""), s.word()}
	}
	others := make(map[string]int)
	if len(all) > room {
		slices.SortStableFunc(all, func(x, y shown) int { return urgency(x.word) - urgency(y.word) })
		for _, s := range all[room-1:] {
			others[s.word]++
		}
		all = all[:room-1]
	}
	names := 0
	for _, s := range all {
		names = max(names, s.name.width())
	}
	names = min(names, max(leastNames, min(c.width/2, c.width-2*len(gap)-wordColumn-spanColumn)))
	end := names + 2*len(gap) + wordColumn + spanColumn
	var lines []line
	for _, s := range all {
		l := s.name.cut(names).pad(names).add(gap, "").add(s.word, styleOf(s.word))
		if took, ok := s.took(c.now); ok {
			text := span(took)
			l = l.pad(end-len(text)).add(text, "")
		}
		if detail := s.detail(); detail != "" && c.width >= end+leastDetail {
			l = l.pad(end).add(gap+detail, dim)
		}
		lines = append(lines, l)
	}
	if len(others) > 0 {
		lines = append(lines, line(nil).add("others: "+inOrder(others), dim))
	}
	return lines
}
