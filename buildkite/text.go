package buildkite

import (
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// decodeChar returns the character that raw, the inside of a valid JSON string,
// begins with, and how many bytes it takes there. A lone surrogate and a byte
// that is no UTF-8 are U+FFFD.
func decodeChar(raw []byte) (r rune, width int) {
	if raw[0] != '\\' {
		return utf8.DecodeRune(raw)
	}
	switch c := raw[1]; c {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		r, _ := hex4(raw)
		if !utf16.IsSurrogate(r) {
			return r, 6
		}
		if low, ok := hex4(raw[6:]); ok {
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				return pair, 12
			}
		}
		return utf8.RuneError, 6
	default: // '"', '\\', '/'
		return rune(c), 2
	}
}

// appendText appends what the inside of a JSON string says, in valid UTF-8.
func appendText(dst, raw []byte) []byte {
	dst = slices.Grow(dst, len(raw))
	for i := 0; i < len(raw); {
		if c := raw[i]; c != '\\' && c < utf8.RuneSelf {
			dst = append(dst, c)
			i++
			continue
		}
		r, n := decodeChar(raw[i:])
		dst = utf8.AppendRune(dst, r)
		i += n
	}
	return dst
}
