package main

import (
	"io"
	"strconv"
)

// screen keeps lines on a terminal, the cursor below them. It writes what has
// changed, cell by cell, and leaves nothing on that would have to be restored:
// the program may end at any time.
type screen struct {
	out   io.Writer
	color bool
	// shown is what the terminal shows, at this width.
	shown []line
	width int

	// Of what is being written:
	buf  []byte
	row  int   // of the cursor, from the first line
	away bool  // the cursor may be in another column than the first
	pen  style // that the terminal writes with
}

// Control sequences, ECMA-48.
const (
	eraseLine  = "\x1b[K" // from the cursor on
	eraseBelow = "\x1b[J" // from the cursor on
)

// show has the terminal show these lines. Each fits its width, and all of them
// its height with a line to spare.
func (s *screen) show(lines []line, width int) error {
	s.begin()
	if width != s.width {
		s.clear(width)
	}
	s.width = width
	for i, l := range lines {
		if i < len(s.shown) {
			s.change(i, l)
			s.shown[i] = l
			continue
		}
		s.moveTo(i)
		s.write(l)
		s.buf = append(s.buf, "\r\n"...)
		s.row++
		s.shown = append(s.shown, l)
	}
	if len(s.shown) > len(lines) {
		s.moveTo(len(lines))
		s.buf = append(s.buf, eraseBelow...)
		s.shown = s.shown[:len(lines)]
	}
	if len(s.buf) > 0 {
		s.moveTo(len(lines))
	}
	return s.flush()
}

// begin takes the cursor as it was left, but for what somebody typed since.
func (s *screen) begin() { s.row, s.away = len(s.shown), true }

// hide removes the lines, for something else to be written.
func (s *screen) hide() error {
	s.begin()
	s.clear(s.width)
	return s.flush()
}

// end leaves the lines, and the cursor below them. What was typed there, such as
// ^C, is removed.
func (s *screen) end() error {
	s.buf = append(s.buf, "\r"+eraseLine...)
	return s.flush()
}

// clear removes the lines of a terminal that now has this width: a line that is
// longer goes on in the next row.
func (s *screen) clear(width int) {
	s.row = 0
	for _, l := range s.shown {
		s.row += max(1, (l.width()+width-1)/max(width, 1))
	}
	if s.row > 0 {
		s.moveTo(0)
		s.buf = append(s.buf, eraseBelow...)
	}
	s.shown = nil
}

// change has line i show l: the cells between what is the same at its begin and
// at its end.
func (s *screen) change(i int, l line) {
	old := s.shown[i]
	from := 0
	for from < len(old) && from < len(l) && old[from] == l[from] {
		from++
	}
	if from == len(old) && from == len(l) {
		return
	}
	to, longer := len(l), old.width()-l.width()
	if longer == 0 {
		for n := len(old); to > from && n > from && old[n-1] == l[to-1]; n-- {
			to--
		}
	}
	s.moveTo(i)
	if column := l[:from].width(); column > 0 {
		s.control(column+1, 'G')
	}
	s.write(l[from:to])
	if longer > 0 {
		s.buf = append(s.buf, eraseLine...)
	}
	s.away = true
}

// moveTo moves the cursor to the first column of a row.
func (s *screen) moveTo(row int) {
	if s.away {
		s.buf = append(s.buf, '\r')
		s.away = false
	}
	switch {
	case row < s.row:
		s.control(s.row-row, 'A')
	case row > s.row:
		s.control(row-s.row, 'B')
	}
	s.row = row
}

// control appends a control sequence with one parameter, 1 when left out.
func (s *screen) control(n int, final byte) {
	s.buf = append(s.buf, "\x1b["...)
	if n != 1 {
		s.buf = strconv.AppendInt(s.buf, int64(n), 10)
	}
	s.buf = append(s.buf, final)
}

// write appends cells, and ends with the terminal's own style.
func (s *screen) write(cells line) {
	for _, c := range cells {
		s.dip(c.style)
		s.buf = append(s.buf, c.text...)
	}
	s.dip("")
}

// dip changes the style of what is written next.
func (s *screen) dip(pen style) {
	if !s.color || pen == s.pen {
		return
	}
	s.buf = append(s.buf, "\x1b["...)
	if s.pen != "" && pen != "" {
		s.buf = append(s.buf, "0;"...)
	}
	s.buf = append(append(s.buf, pen...), 'm')
	s.pen = pen
}

// flush writes at once what there is: a terminal shows no half of it.
func (s *screen) flush() error {
	if len(s.buf) == 0 {
		return nil
	}
	_, err := s.out.Write(s.buf)
	s.buf = s.buf[:0]
	return err
}
