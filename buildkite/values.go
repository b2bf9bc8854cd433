package buildkite

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Limits on what is taken out of a payload. The payload itself keeps all.
const (
	maxEvent   = 100    // bytes
	maxID      = 100    // bytes
	maxSlug    = 200    // bytes
	maxWord    = 100    // characters: states, types
	maxName    = 500    // characters: names, branches, commits
	maxMessage = 10_000 // characters
	maxURL     = 2000   // bytes
	maxMatrix  = 4096   // bytes
)

// values reads values of a valid JSON text where they are known to be. What is
// absent or of another type is the zero value.
type values []byte

// kind returns the first byte of a value, 0 for none.
func (v values) kind(at span) byte {
	if at.end == 0 {
		return 0
	}
	return v[at.start]
}

// text returns a string of at most so many characters, longer ones cut. NUL
// and what is no Unicode, such as lone surrogates, is U+FFFD.
func (v values) text(at span, limit int) string {
	if v.kind(at) != '"' {
		return ""
	}
	raw := v[at.start+1 : at.end-1]
	if bytes.IndexByte(raw, '\\') >= 0 || !utf8.Valid(raw) {
		raw = appendText(nil, raw)
		if bytes.IndexByte(raw, 0) >= 0 {
			raw = bytes.ReplaceAll(raw, []byte{0}, []byte("\uFFFD"))
		}
	}
	if len(raw) > limit {
		n := 0
		for ; limit > 0 && n < len(raw); limit-- {
			_, width := utf8.DecodeRune(raw[n:])
			n += width
		}
		raw = raw[:n]
	}
	return string(raw)
}

// url returns a URL; a part of one is none, so longer ones are absent.
func (v values) url(at span) string {
	u := v.text(at, maxURL+1)
	if len(u) > maxURL {
		return ""
	}
	return u
}

// id returns an identifier, empty for one that is too long to be any, or holds
// control characters, broken Unicode or credentials.
func (v values) id(at span) string { return sane(v.text(at, maxID+1), maxID) }

// slug returns a slug: an identifier, and one segment of a path.
func (v values) slug(at span) string { return saneSlug(v.text(at, maxSlug+1)) }

func saneSlug(s string) string {
	if strings.Contains(s, "/") {
		return ""
	}
	return sane(s, maxSlug)
}

func sane(s string, limit int) string {
	odd := func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }
	if len(s) > limit || strings.ContainsFunc(s, odd) || strings.Contains(s, "://") {
		return ""
	}
	return s
}

// int returns an integer, written as a number or as a string of one.
func (v values) int(at span) (int, bool) {
	switch v.kind(at) {
	case 0, '{', '[':
		return 0, false
	}
	n, err := strconv.Atoi(strings.Trim(string(v[at.start:at.end]), `"`))
	return n, err == nil
}

// optionalInt returns nil for what int does not know.
func (v values) optionalInt(at span) *int {
	n, ok := v.int(at)
	if !ok {
		return nil
	}
	return &n
}

// number returns an integer above 0 that is written as a number, else 0.
func (v values) number(at span) int64 {
	n, err := strconv.ParseInt(string(v[at.start:at.end]), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func (v values) isTrue(at span) bool { return v.kind(at) == 't' }

func (v values) time(at span) time.Time {
	if v.kind(at) != '"' || at.end-at.start > 66 {
		return time.Time{}
	}
	return parseTime(v[at.start+1 : at.end-1])
}

// canonical returns the JSON text of a value without white space and with sorted
// members, empty for null.
func (v values) canonical(at span) string {
	if k := v.kind(at); k == 0 || k == 'n' {
		return ""
	}
	var b bytes.Buffer
	if err := json.Compact(&b, v[at.start:at.end]); err != nil {
		return ""
	}
	sorted := jsontext.Value(bytes.Clone(b.Bytes()))
	// It refuses what no matrix has, such as two members of one name: that stays as it is.
	if err := sorted.Canonicalize(); err != nil {
		return b.String()
	}
	return string(sorted)
}

// lookup returns where a member of an object is, the last of that name.
func (v values) lookup(object span, name string) (at span) {
	if v.kind(object) != '{' {
		return span{}
	}
	s := scanner{b: v[:object.end], i: object.start}
	for m := s.enter(); s.member(&m); {
		found := string(s.name(&m)) == name
		if value := s.skip(); found {
			at = value
		}
	}
	return at
}

// members calls note for each member of the object at the cursor, and notes in
// what it returns, if anything, where the value is. It moves past the value,
// whether or not that is an object.
func (s *scanner) members(note func(name []byte) *span) {
	if s.peek() != '{' {
		s.skip()
		return
	}
	for m := s.enter(); s.member(&m); {
		to := note(s.name(&m))
		at := s.skip()
		if to != nil {
			*to = at
		}
	}
}
