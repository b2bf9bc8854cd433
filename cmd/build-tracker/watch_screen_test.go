package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// paper is a terminal that understands what a screen writes.
type paper struct {
	width, height int

	mu          sync.Mutex
	rows        [][]string // the texts of cells; "" follows a wide one
	row, column int
	written     int // in bytes
}

var sequence = regexp.MustCompile(`^\x1b\[([0-9;]*)([A-Za-z])`)

// Write takes what a screen writes.
func (p *paper) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.written += len(b)
	for text := string(b); text != ""; {
		switch m := sequence.FindStringSubmatch(text); {
		case m != nil:
			if err := p.control(m[2], m[1]); err != nil {
				return 0, err
			}
			text = text[len(m[0]):]
		case text[0] == '\r':
			p.column, text = 0, text[1:]
		case text[0] == '\n':
			if p.row++; p.row == p.height {
				return 0, fmt.Errorf("the screen scrolls")
			}
			text = text[1:]
		default:
			end := strings.IndexAny(text, "\x1b\r\n")
			if end < 0 {
				end = len(text)
			}
			for _, c := range line(nil).add(text[:end], "") {
				if p.column+c.width > p.width {
					return 0, fmt.Errorf("%q wraps", text)
				}
				p.at(p.row)[p.column] = c.text
				for i := 1; i < c.width; i++ {
					p.rows[p.row][p.column+i] = ""
				}
				p.column += c.width
			}
			text = text[end:]
		}
	}
	return len(b), nil
}

func (p *paper) control(final, parameter string) error {
	n := 1
	if parameter != "" {
		n, _ = strconv.Atoi(parameter)
	}
	switch final {
	case "A":
		p.row -= n
	case "B":
		p.row += n
	case "G":
		p.column = n - 1
	case "K", "J":
		row := p.at(p.row)
		for i := p.column; i < p.width; i++ {
			row[i] = " "
		}
		if final == "J" {
			p.rows = p.rows[:p.row+1]
		}
	case "m":
	default:
		return fmt.Errorf("unknown sequence %q", final)
	}
	if p.row < 0 || p.row >= p.height {
		return fmt.Errorf("the cursor is in row %d", p.row)
	}
	return nil
}

func (p *paper) at(row int) []string {
	for len(p.rows) <= row {
		p.rows = append(p.rows, strings.Split(strings.Repeat(" ", p.width), ""))
	}
	return p.rows[row]
}

// text is what somebody sees.
func (p *paper) text() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, row := range p.rows {
		out = append(out, strings.TrimRight(strings.Join(row, ""), " "))
	}
	for len(out) > 0 && out[len(out)-1] == "" {
		out = out[:len(out)-1]
	}
	return out
}

func texts(lines []line) []string {
	var out []string
	for _, l := range lines {
		var text strings.Builder
		for _, c := range l {
			text.WriteString(c.text)
		}
		out = append(out, strings.TrimRight(text.String(), " "))
	}
	for len(out) > 0 && out[len(out)-1] == "" {
		out = out[:len(out)-1]
	}
	return out
}

// TestScreenShowsWhatItIsTold: whatever it showed before.
func TestScreenShowsWhatItIsTold(t *testing.T) {
	t.Parallel()
	const width, height = 12, 6
	lines := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) line {
		var l line
		for _, part := range rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", " ", "日", "é", "e\u0301"}), 0, width).Draw(t, "parts") {
			l = l.add(part, rapid.SampledFrom([]style{"", red, dim}).Draw(t, "style"))
		}
		return l.cut(width)
	}), 0, height-1)
	rapid.Check(t, func(t *rapid.T) {
		p := &paper{width: width, height: height}
		s := &screen{out: p, color: rapid.Bool().Draw(t, "color")}
		for range rapid.IntRange(1, 5).Draw(t, "times") {
			want := lines.Draw(t, "lines")
			if err := s.show(want, width); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(texts(want), p.text(), cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("(-told +shown):\n%s", diff)
			}
			if p.row != len(want) || p.column != 0 {
				t.Fatalf("the cursor is at %d, %d below %d lines", p.row, p.column, len(want))
			}
			before := p.written
			if err := s.show(want, width); err != nil || p.written != before {
				t.Fatalf("%d bytes for no change (%v)", p.written-before, err)
			}
			switch rapid.IntRange(0, 3).Draw(t, "then") {
			case 0: // somebody types
				fmt.Fprint(p, "^C")
			case 1:
				if err := s.hide(); err != nil || len(p.text()) > 0 || p.row != 0 || p.column != 0 {
					t.Fatalf("hidden, it shows %q, the cursor at %d, %d (%v)", p.text(), p.row, p.column, err)
				}
			}
			if err := s.end(); err != nil || p.column != 0 {
				t.Fatalf("it ends with the cursor in column %d (%v)", p.column, err)
			}
		}
	})
}

func TestScreenWritesOnlyWhatChanged(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ before, after, want string }{
		"a second":         {"test  running   9s  attempt 2", "test  running  10s  attempt 2", "\r\x1b[2A\x1b[16G10\r\x1b[2B"},
		"the first column": {"aa", "ba", "\r\x1b[2Ab\r\x1b[2B"},
		"a shorter line":   {"passed", "pass", "\r\x1b[2A\x1b[5G\x1b[K\r\x1b[2B"},
		"a longer line":    {"pass", "passed", "\r\x1b[2A\x1b[5Ged\r\x1b[2B"},
		"a wide character": {"a日b", "a本b", "\r\x1b[2A\x1b[2G本\r\x1b[2B"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			s := &screen{out: &out}
			below := line(nil).add("below", "")
			if err := s.show([]line{line(nil).add(tc.before, ""), below}, 80); err != nil {
				t.Fatal(err)
			}
			out.Reset()
			if err := s.show([]line{line(nil).add(tc.after, ""), below}, 80); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, out.String()); diff != "" {
				t.Errorf("written (-want +got):\n%s", diff)
			}
		})
	}
}

func TestScreenColors(t *testing.T) {
	t.Parallel()
	l := line(nil).add("a", bold).add("b", red).add(" c", "")
	for color, want := range map[bool]string{
		true:  "\r\x1b[1ma\x1b[0;31mb\x1b[m c\r\n",
		false: "\rab c\r\n",
	} {
		var out strings.Builder
		s := &screen{out: &out, color: color}
		if err := s.show([]line{l}, 80); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("color %t (-want +got):\n%s", color, diff)
		}
	}
}

// TestScreenFollowsItsSize: where a terminal becomes narrower, a line that it
// shows takes several rows.
func TestScreenFollowsItsSize(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	s := &screen{out: &out}
	if err := s.show([]line{line(nil).add("0123456789", ""), nil, line(nil).add("01234", "")}, 10); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if err := s.show([]line{line(nil).add("0123", "")}, 4); err != nil {
		t.Fatal(err)
	}
	if want := "\r\x1b[6A\x1b[J0123\r\n"; out.String() != want {
		t.Errorf("written %q, want %q", out.String(), want)
	}
}
