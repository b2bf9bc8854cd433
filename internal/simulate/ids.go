package simulate

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"
)

// uuid returns a UUID of version 7, whose first part is a time.
// https://www.rfc-editor.org/rfc/rfc9562#name-uuid-version-7
func (s *Simulation) uuid(t time.Time) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(t.UnixMilli())<<16|0x7000|s.names.Uint64()&0x0fff)
	binary.BigEndian.PutUint64(b[8:], 1<<63|s.names.Uint64()>>2)
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// commit returns a commit's hash.
func (s *Simulation) commit() string {
	var b [24]byte
	for i := range 3 {
		binary.BigEndian.PutUint64(b[8*i:], s.names.Uint64())
	}
	return hex.EncodeToString(b[:20])
}
