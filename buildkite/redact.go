package buildkite

import (
	"bytes"
	"unicode/utf8"
)

// redactor walks a payload once. While it validates, it writes a compact copy
// with the secrets masked, sums up the delivery's key, and notes where the
// parts of the address are.
//
// Both outputs take the text in as long pieces as they can: outFrom and keyFrom
// say from where on it is still to be taken.
type redactor struct {
	scanner
	opts Options

	out     []byte
	outFrom int
	outOff  bool // inside a masked value

	key     keySum
	keyFrom int
	keyOff  bool // inside a member that is no part of the key

	found address
	// Reused by every string that is looked at closely.
	plain []byte
	spans []span
}

// place says where in a payload a value is, as far as a rule asks.
type place uint8

const (
	opaque place = iota // inside a masked value: no rule holds
	elsewhere
	atTop
	atBuild
	atJob
	atPipeline
	atOrganization
	atAgent       // the agent of an agent's event
	otherAgent    // any other object under a key "agent", such as a job's
	otherPipeline // likewise
	atEnv
)

// rule says what becomes of a member.
type rule struct {
	inside place // where its value is
	mask   bool  // its value is a secret
	drop   bool  // it is no part of the delivery's key
	note   *span // who wants to know where the value is
}

// value copies the value at the cursor.
func (r *redactor) value(at place) {
	switch c := r.peek(); {
	case c == '{':
		r.object(at)
	case c == '[':
		r.array(at)
	case at == atEnv:
		r.masked()
	case c == '"':
		start := r.i
		flags := r.str()
		r.text(span{start + 1, r.i - 1}, flags)
	default:
		r.scalar()
	}
}

func (r *redactor) object(at place) {
	live := false // a member went into the key
	m := r.enter()
	for r.member(&m) {
		rule := r.rule(at, r.name(&m))
		drop := rule.drop && !r.keyOff
		from := m.key
		if m.comma >= 0 {
			r.gap(m.prev, m.comma)
			from = m.comma
		} else {
			r.gap(m.prev, m.key)
		}
		switch {
		case drop:
			r.keyUntil(from)
			r.keyOff = true
		case m.comma >= 0 && !live && !r.keyOff:
			// What this comma follows was left out.
			r.keyUntil(m.comma)
			r.keyFrom = m.comma + 1
		}
		if m.comma >= 0 {
			r.gap(m.comma+1, m.key)
		}
		r.text(span{m.key + 1, m.keyEnd - 1}, m.flags)
		r.gap(m.keyEnd, m.colon)
		r.gap(m.colon+1, r.i)

		start := r.i
		if rule.mask {
			r.masked()
		} else {
			r.value(rule.inside)
		}
		if rule.note != nil {
			*rule.note = span{start, r.i}
		}
		if drop {
			r.keyOff, r.keyFrom = false, r.i
		} else {
			live = true
		}
	}
	r.gap(m.prev, m.comma) // before the bracket
}

func (r *redactor) array(at place) {
	inside := elsewhere
	if at == opaque {
		inside = opaque
	}
	m := r.enter()
	for r.element(&m) {
		if m.comma >= 0 {
			r.gap(m.prev, m.comma)
			r.gap(m.comma+1, r.i)
		} else {
			r.gap(m.prev, r.i)
		}
		if at == atEnv {
			r.variable()
		} else {
			r.value(inside)
		}
	}
	r.gap(m.prev, m.comma) // before the bracket
}

// variable copies an element of an env that is a list: of "NAME=value" the
// name, all of it if the name is one to keep, and nothing of anything else.
func (r *redactor) variable() {
	if r.peek() != '"' {
		r.masked()
		return
	}
	start := r.i
	flags := r.str()
	raw := span{start + 1, r.i - 1}
	if r.fault != "" {
		return
	}
	r.plain = appendText(r.plain[:0], r.b[raw.start:raw.end])
	name, _, ok := bytes.Cut(r.plain, []byte{'='})
	switch {
	case !ok || !isVariableName(name):
		r.replace(raw, mask)
	case r.opts.keeps(name):
		r.text(raw, flags)
	default:
		r.replace(span{rawOffset(r.b, raw, len(name)+1), raw.end}, mask)
	}
}

func isVariableName(name []byte) bool {
	for _, c := range name {
		if c != '_' && c != '-' && c != '.' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return len(name) > 0
}

// masked replaces the value at the cursor, whatever it is. null is no secret.
func (r *redactor) masked() {
	if r.peek() == 'n' {
		r.value(opaque)
		return
	}
	r.out = append(append(r.out, r.b[r.outFrom:r.i]...), `"`+mask+`"`...)
	r.outOff = true
	r.value(opaque)
	r.outOff, r.outFrom = false, r.i
}

// text looks at the inside of a string: credentials in URLs are masked, bytes
// that are no UTF-8 replaced by U+FFFD.
func (r *redactor) text(raw span, flags byte) {
	if flags != 0 && !r.outOff && r.fault == "" {
		r.closely(raw, flags)
	}
}

func (r *redactor) closely(raw span, flags byte) {
	from := raw.start
	// '@' and '=' may also hide in an escape.
	if flags&hasMark != 0 || flags&hasEscape != 0 && bytes.Contains(r.b[raw.start:raw.end], []byte(`\u`)) {
		for _, secret := range r.secrets(raw, flags) {
			r.utf8(span{from, secret.start}, flags)
			r.replace(secret, mask)
			from = secret.end
		}
	}
	r.utf8(span{from, raw.end}, flags)
}

// secrets returns where the credentials are, in the text as it came.
func (r *redactor) secrets(raw span, flags byte) []span {
	if flags&hasEscape == 0 {
		r.spans = credentials(r.spans[:0], r.b[raw.start:raw.end])
		for i := range r.spans {
			r.spans[i].start += raw.start
			r.spans[i].end += raw.start
		}
		return r.spans
	}
	r.plain = appendText(r.plain[:0], r.b[raw.start:raw.end])
	r.spans = credentials(r.spans[:0], r.plain)
	from, done := raw, 0 // done bytes of plain stand before from
	for i, secret := range r.spans {
		from.start = rawOffset(r.b, from, secret.start-done)
		r.spans[i].start = from.start
		from.start = rawOffset(r.b, from, secret.end-secret.start)
		r.spans[i].end = from.start
		done = secret.end
	}
	return r.spans
}

// rawOffset returns where, in the inside of a string, the byte stands that is
// n bytes on in what it says. It begins a character.
func rawOffset(b []byte, raw span, n int) int {
	i := raw.start
	for n > 0 && i < raw.end {
		c, width := decodeChar(b[i:raw.end])
		n -= utf8.RuneLen(c)
		i += width
	}
	return i
}

func (r *redactor) utf8(raw span, flags byte) {
	if flags&hasHigh == 0 || utf8.Valid(r.b[raw.start:raw.end]) {
		return
	}
	for i := raw.start; i < raw.end; {
		c, n := utf8.DecodeRune(r.b[i:raw.end])
		if c == utf8.RuneError && n == 1 {
			r.replace(span{i, i + 1}, "\uFFFD")
		}
		i += n
	}
}

// replace writes text in the place of a part of a string, masked or not.
func (r *redactor) replace(part span, text string) {
	r.out = append(append(r.out, r.b[r.outFrom:part.start]...), text...)
	r.outFrom = part.end
}

// gap leaves out white space, where there is some.
func (r *redactor) gap(from, to int) {
	if from != to {
		r.leaveOut(from, to)
	}
}

func (r *redactor) leaveOut(from, to int) {
	if r.fault != "" {
		return
	}
	if !r.outOff {
		r.out = append(r.out, r.b[r.outFrom:from]...)
		r.outFrom = to
	}
	if !r.keyOff {
		r.keyUntil(from)
		r.keyFrom = to
	}
}
