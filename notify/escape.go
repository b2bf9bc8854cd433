package notify

import (
	"strings"
	"unicode"
	"unicode/utf16"
)

// entities are what Slack asks for in place of its three control characters.
// https://docs.slack.dev/messaging/formatting-message-text
var entities = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// lookalikes stand in for the characters that start formatting. Slack has no
// escape for them.
var lookalikes = strings.NewReplacer("*", "∗", "`", "ˋ", "~", "∼")

const (
	lookalikeUnderscore = 'ˍ'
	// wordJoiner is invisible and breaks what Slack would read as one word.
	wordJoiner = "\u2060"
)

// inline makes a text from a payload safe inside one line of mrkdwn, in at most
// limit characters as Slack counts them: it cannot mention anyone, link,
// format, start a new line or turn the rest of the line around.
func inline(s string, limit int) string {
	return clip(disarm(lookalikes.Replace(oneLine(s, limit+1))), limit)
}

// oneLine returns s as valid UTF-8 with every run of white space and control
// characters as a single space, and without marks that turn or hide text; of a
// long one at least the first limit characters.
func oneLine(s string, limit int) string {
	var out strings.Builder
	space, n := false, 0
	for _, r := range s { // an invalid byte comes as U+FFFD
		if n >= limit {
			break
		}
		switch {
		case invisible(r):
			continue
		case unicode.IsSpace(r) || unicode.IsControl(r):
			space = out.Len() > 0
			continue
		}
		if space {
			out.WriteByte(' ')
			space = false
			n++
		}
		out.WriteRune(r)
		n++
	}
	return out.String()
}

// invisible: marks that embed, override or isolate the direction of text, and
// spaces without width. The joiners and selectors of emoji are not among them.
func invisible(r rune) bool {
	switch r {
	case '\u061C', '\u200B', '\u200E', '\u200F', '\u2060', '\uFEFF':
		return true
	}
	return r >= '\u202A' && r <= '\u202E' || r >= '\u2066' && r <= '\u2069'
}

// disarm breaks the words that some clients read as a mention of everybody,
// underscores that would set text in italics, and a quote at the start.
func disarm(s string) string {
	var out strings.Builder
	runes := []rune(s)
	for i, r := range runes {
		switch {
		case r == '_' && !betweenLetters(runes, i):
			out.WriteRune(lookalikeUnderscore)
		case r == '>' && i == 0:
			out.WriteString(wordJoiner + ">")
		case r == '@' && callsEverybody(runes[i+1:]):
			out.WriteString("@" + wordJoiner)
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}

// betweenLetters says whether the underscore at i is inside a word, as in
// snake_case, where it formats nothing.
func betweenLetters(runes []rune, i int) bool {
	before, after := i-1, i+1
	if before < 0 || after == len(runes) {
		return false
	}
	return isWord(runes[before]) && isWord(runes[after])
}

func isWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

func callsEverybody(after []rune) bool {
	for _, word := range []string{"here", "channel", "everyone", "group"} {
		if len(after) >= len(word) && strings.EqualFold(string(after[:len(word)]), word) {
			return true
		}
	}
	return false
}

// clip escapes s and cuts it to limit characters, between two of its own and
// never inside an entity.
func clip(s string, limit int) string {
	var out strings.Builder
	used, cut := 0, 0
	for _, r := range s {
		e := entities.Replace(string(r))
		if used += size(e); used > limit {
			return out.String()[:cut] + "…"
		}
		out.WriteString(e)
		if used < limit { // leaves room for the ellipsis
			cut = out.Len()
		}
	}
	return out.String()
}

// size counts characters as Slack does at its strictest: UTF-16 units.
func size(s string) int {
	n := 0
	for _, r := range s {
		n += utf16.RuneLen(r)
	}
	return n
}
