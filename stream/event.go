package stream

import (
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"
)

// Version is the version of the envelope that this program writes.
const Version = 1

// Event is one recorded event. Its JSON form is the envelope that every reader
// of the stream gets, whatever the route: API, live stream or export.
type Event struct {
	// ID is unique over the whole stream and the same at every reading: the
	// first half of the delivery's key.
	ID ID
	// Position grows over the whole stream in commit order. The first is 1.
	// Positions may have gaps; what is later never has a lower one.
	Position int64
	// Organization is Buildkite's slug.
	Organization string
	// BuildID is Buildkite's id of the build, empty for an event without a
	// build (an agent's). It is not part of the envelope.
	BuildID string
	// Pipeline, Number and Seq say where the event belongs. They mean nothing,
	// and are null in JSON, when BuildID is empty. Seq counts from 0 within a
	// build, without gaps.
	Pipeline string
	Number   int64
	Seq      int64
	// Type is Buildkite's event name, or one of ours.
	Type string
	// Version is the version of the envelope it was recorded with.
	Version int
	// Time is when it was recorded, UTC, in microseconds.
	Time time.Time
	// Data is the payload: one compact, valid JSON value, secrets masked. Empty
	// when what was stored is damaged; null in JSON.
	Data json.RawMessage
}

// ID identifies an event. It prints as a UUID.
type ID [16]byte

// String returns the canonical form of a UUID: 8-4-4-4-12 hex digits.
func (id ID) String() string {
	return string(id.append(make([]byte, 0, 36)))
}

func (id ID) append(dst []byte) []byte {
	for i, b := range [][]byte{id[:4], id[4:6], id[6:8], id[8:10], id[10:]} {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, b)
	}
	return dst
}

// AppendJSON appends the envelope to dst and returns it. Data goes in as it
// is: payloads hold what encoding/json would rewrite (escapes of lone
// surrogates, numbers beyond 2^53).
func (e *Event) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"id":"`...)
	dst = e.ID.append(dst)
	dst = append(dst, `","position":`...)
	dst = strconv.AppendInt(dst, e.Position, 10)
	dst = append(dst, `,"organization":`...)
	dst = appendString(dst, e.Organization)
	if e.BuildID == "" {
		dst = append(dst, `,"pipeline":null,"number":null,"seq":null`...)
	} else {
		dst = append(dst, `,"pipeline":`...)
		dst = appendString(dst, e.Pipeline)
		dst = append(dst, `,"number":`...)
		dst = strconv.AppendInt(dst, e.Number, 10)
		dst = append(dst, `,"seq":`...)
		dst = strconv.AppendInt(dst, e.Seq, 10)
	}
	dst = append(dst, `,"type":`...)
	dst = appendString(dst, e.Type)
	dst = append(dst, `,"version":`...)
	dst = strconv.AppendInt(dst, int64(e.Version), 10)
	dst = append(dst, `,"time":"`...)
	dst = e.Time.UTC().AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, `","data":`...)
	if len(e.Data) == 0 {
		dst = append(dst, "null"...)
	}
	dst = append(dst, e.Data...)
	return append(dst, '}')
}

// MarshalJSON returns the envelope.
func (e *Event) MarshalJSON() ([]byte, error) {
	return e.AppendJSON(make([]byte, 0, len(e.Data)+320)), nil
}

// appendString appends a string as JSON. Names and types are plain, as a rule.
func appendString(dst []byte, s string) []byte {
	if plain(s) {
		return append(append(append(dst, '"'), s...), '"')
	}
	quoted, err := json.Marshal(s)
	if err != nil { // a string always marshals
		panic(err)
	}
	return append(dst, quoted...)
}

// plain says whether a string is its own JSON, as encoding/json writes it.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}
