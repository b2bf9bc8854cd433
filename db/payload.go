package db

import (
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/klauspost/compress/s2"
)

// Limits of what a delivery may hold. They are far above anything real; an
// index entry of PostgreSQL holds 2704 bytes.
const (
	maxName    = 400      // bytes of a slug, an id, a type
	maxBranch  = 1000     // bytes of a branch's name
	maxReason  = 500      // bytes of a text that says why
	maxPayload = 16 << 20 // bytes of an event's data
)

// maxRead bounds the data of one page of events, in bytes, and maxEach where
// nobody keeps them; one event may be larger.
const (
	maxRead = 8 << 20
	maxEach = 64 << 20
)

// defaultTeam owns what names no team.
const defaultTeam = "default"

// check says whether a store can hold d, and fills in its team. The error is
// ErrRefused.
func check(d *Delivery) error {
	if d.Team == "" {
		d.Team = defaultTeam
	}
	if len(d.Data) > maxPayload {
		return fmt.Errorf("append: %w: %d bytes of data, at most %d", ErrRefused, len(d.Data), maxPayload)
	}
	for _, f := range [...]struct{ name, value string }{
		{"organization", d.Organization},
		{"build id", d.BuildID},
		{"pipeline", d.Pipeline},
		{"team", d.Team},
		{"type", d.Type},
	} {
		switch {
		case len(f.value) > maxName:
			return fmt.Errorf("append: %w: %s of %d bytes, at most %d", ErrRefused, f.name, len(f.value), maxName)
		case !utf8.ValidString(f.value) || strings.Contains(f.value, "\x00"):
			return fmt.Errorf("append: %w: %s is not text", ErrRefused, f.name)
		}
	}
	return nil
}

// clean returns s as every store takes it: valid UTF-8 without NUL, at most max
// bytes. What does not fit becomes U+FFFD, or is cut off.
func clean(s string, max int) string {
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
	if len(s) <= max {
		return s
	}
	for max > 0 && !utf8.RuneStart(s[max]) {
		max--
	}
	return s[:max]
}

// packer compresses payloads. It keeps buffers, because the worst case is
// larger than the data and would otherwise wait in the queue.
type packer struct{ buffers sync.Pool }

// pack returns data in S2's block format, which carries its length.
func (p *packer) pack(data []byte) []byte {
	buf, _ := p.buffers.Get().(*[]byte)
	if buf == nil {
		buf = new([]byte)
	}
	if need := s2.MaxEncodedLen(len(data)); cap(*buf) < need {
		*buf = make([]byte, need)
	}
	packed := s2.Encode((*buf)[:cap(*buf)], data)
	out := make([]byte, len(packed))
	copy(out, packed)
	p.buffers.Put(buf)
	return out
}

// pack is packer.pack for data that is compressed one at a time.
func pack(data []byte) []byte { return s2.Encode(nil, data) }

// maxUnpacked is above the largest payload and the largest snapshot.
const maxUnpacked = 256 << 20

// unpack returns what pack was given. An empty payload is nil.
func unpack(packed []byte) ([]byte, error) {
	if len(packed) == 0 {
		return nil, nil
	}
	// What is damaged may claim any length; it is believed up to a bound.
	if n, err := s2.DecodedLen(packed); err != nil || n > maxUnpacked {
		return nil, fmt.Errorf("decompress: %d bytes claimed: %w", n, s2.ErrCorrupt)
	}
	data, err := s2.Decode(nil, packed)
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	return data, nil
}
