package buildkite

import (
	"encoding/binary"
	"math/bits"
)

// maxDepth is how deep arrays and objects may nest. Buildkite's payloads stay
// below 20.
const maxDepth = 512

// scanner is a cursor over one JSON text. It accepts exactly what RFC 8259 and
// encoding/json accept, up to maxDepth. The first error sticks: it moves the
// cursor to the end, so that every loop stops there.
type scanner struct {
	b     []byte
	i     int // the cursor
	depth int
	// fault is what is wrong, at byte faultAt; empty while nothing is.
	fault   string
	faultAt int
}

// span is a part of the text, from start up to but not including end. The zero
// span is no value at all: nothing but white space ends at byte 0.
type span struct{ start, end int }

// What a string holds that needs a closer look.
const (
	hasEscape byte = 1 << iota // a backslash
	hasHigh                    // bytes above 0x7f: it may be invalid UTF-8
	hasMark                    // '@' or '=', maybe just behind its end: no credentials without
)

func (s *scanner) fail(at int, fault string) {
	if s.fault == "" {
		s.fault, s.faultAt = fault, at
	}
	s.i = len(s.b)
}

// unexpected says that what stands at the cursor may not stand there.
func (s *scanner) unexpected() {
	if s.i >= len(s.b) {
		s.fail(len(s.b), "it ends too early")
		return
	}
	s.fail(s.i, "unexpected character")
}

// space moves to the next byte that is not white space.
func (s *scanner) space() {
	for s.i < len(s.b) && s.b[s.i] <= ' ' {
		if c := s.b[s.i]; c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			return
		}
		s.i++
	}
}

// member is where a loop over an object or an array stands. The offsets are of
// the tokens before the cursor, which stands on the value.
type member struct {
	prev   int // the end of what came before: of the bracket, or of a value
	comma  int // the comma, or the closing bracket; -1 before the first
	key    int // the name, quotes included, up to keyEnd
	keyEnd int
	flags  byte // of the name
	colon  int
	begun  bool
}

// enter starts a loop over the object or array at the cursor.
func (s *scanner) enter() member {
	if s.depth++; s.depth > maxDepth {
		s.fail(s.i, "it is nested too deeply")
		return member{}
	}
	s.i++
	return member{prev: s.i}
}

// next moves to the next value of a list that ends with the given bracket;
// false after the last. For an object, the name comes next.
func (s *scanner) next(m *member, bracket byte) bool {
	if m.begun {
		m.prev = s.i
	}
	s.space()
	if s.i >= len(s.b) {
		s.unexpected()
		return false
	}
	if s.b[s.i] == bracket {
		m.comma = s.i
		s.i++
		s.depth--
		return false
	}
	if !m.begun {
		m.begun, m.comma = true, -1
		return true
	}
	if s.b[s.i] != ',' {
		s.unexpected()
		return false
	}
	m.comma = s.i
	s.i++
	s.space()
	return true
}

// element moves to the next element of an array.
func (s *scanner) element(m *member) bool { return s.next(m, ']') }

// member moves to the next member of an object.
func (s *scanner) member(m *member) bool {
	if !s.next(m, '}') {
		return false
	}
	m.key = s.i
	if s.i >= len(s.b) || s.b[s.i] != '"' {
		s.unexpected()
		return false
	}
	m.flags = s.str()
	m.keyEnd = s.i
	s.space()
	if s.i >= len(s.b) || s.b[s.i] != ':' {
		s.unexpected()
		return false
	}
	m.colon = s.i
	s.i++
	s.space()
	return true
}

// name returns the name of a member, unescaped.
func (s *scanner) name(m *member) []byte {
	raw := s.b[m.key+1 : m.keyEnd-1]
	if m.flags&hasEscape != 0 {
		return appendText(nil, raw)
	}
	return raw
}

// skip moves past the value at the cursor and returns where it was.
func (s *scanner) skip() span {
	start := s.i
	switch s.peek() {
	case '{':
		for m := s.enter(); s.member(&m); {
			s.skip()
		}
	case '[':
		for m := s.enter(); s.element(&m); {
			s.skip()
		}
	case '"':
		s.str()
	default:
		s.scalar()
	}
	return span{start, s.i}
}

// peek returns the byte at the cursor, 0 at the end.
func (s *scanner) peek() byte {
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// str moves past the string at the cursor, eight bytes at a time. In each of the
// sums below the lowest high bit is right; those above it may not be.
func (s *scanner) str() (flags byte) {
	b, i := s.b, s.i+1
	var marks, high uint64
	for i+8 <= len(b) {
		x := binary.LittleEndian.Uint64(b[i : i+8])
		quote, slash, at, eq := x^(ones*'"'), x^(ones*'\\'), x^(ones*'@'), x^(ones*'=')
		stop := ((quote-ones)&^quote | (slash-ones)&^slash | (x-ones*' ')&^x) & highs
		mark := (at-ones)&^at | (eq-ones)&^eq
		if stop == 0 {
			marks |= mark
			high |= x
			i += 8
			continue
		}
		before := stop&-stop - 1
		marks |= mark & before
		high |= x & before
		i += bits.TrailingZeros64(stop) / 8
		if b[i] == '"' {
			s.i = i + 1
			return flags | flagsOf(marks, high)
		}
		n := escapeLen(b[i:])
		if n == 0 {
			s.fail(i, "an invalid escape or control character")
			return flags
		}
		flags |= hasEscape
		i += n
	}
	return s.strTail(i, flags|flagsOf(marks, high))
}

func flagsOf(marks, high uint64) (flags byte) {
	if marks&highs != 0 {
		flags = hasMark
	}
	if high&highs != 0 {
		flags |= hasHigh
	}
	return flags
}

// strTail goes on with a string near the end of the text.
func (s *scanner) strTail(i int, flags byte) byte {
	for i < len(s.b) {
		switch c := s.b[i]; {
		case c == '"':
			s.i = i + 1
			return flags
		case c == '\\' || c < ' ':
			n := escapeLen(s.b[i:])
			if n == 0 {
				s.fail(i, "an invalid escape or control character")
				return flags
			}
			flags |= hasEscape
			i += n
		default:
			if c == '@' || c == '=' {
				flags |= hasMark
			} else if c >= 0x80 {
				flags |= hasHigh
			}
			i++
		}
	}
	s.fail(len(s.b), "it ends too early")
	return flags
}
