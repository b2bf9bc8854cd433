package build

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Version orders what was shown of a build or a job: by when it had finished
// (not finished comes first), then by how final its state is. The zero Version
// is earlier than any shown.
type Version struct {
	// FinishedAt is in microseconds since 1970, 0 for not finished.
	FinishedAt int64
	// Rank is how final the state is, from 1.
	Rank int
}

// Compare returns -1, 0 or +1 as v is earlier than, the same as, or later than w.
func (v Version) Compare(w Version) int {
	return cmp.Or(cmp.Compare(v.FinishedAt, w.FinishedAt), cmp.Compare(v.Rank, w.Rank))
}

// Time is when this version had finished; zero for not finished.
func (v Version) Time() time.Time {
	if v.FinishedAt == 0 {
		return time.Time{}
	}
	return time.UnixMicro(v.FinishedAt).UTC()
}

// MarshalJSON stores a version as [finished_at, rank].
func (v Version) MarshalJSON() ([]byte, error) {
	return v.append(nil), nil
}

func (v Version) append(dst []byte) []byte {
	dst = strconv.AppendInt(append(dst, '['), v.FinishedAt, 10)
	dst = strconv.AppendInt(append(dst, ','), int64(v.Rank), 10)
	return append(dst, ']')
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (v *Version) UnmarshalJSON(b []byte) error {
	var pair [2]int64
	if err := json.Unmarshal(b, &pair); err != nil {
		return fmt.Errorf("version: %w", err)
	}
	v.FinishedAt, v.Rank = pair[0], int(pair[1])
	return nil
}

// Stamped is a text with the version of the build that showed it. Of two, the
// later version's stands; an empty one says nothing.
type Stamped struct {
	V  string  `json:"v"`
	At Version `json:"at,omitzero"`
}

// set takes s as shown by a build of version at. The result does not depend on
// the order of calls: of two texts at one version the greater stands.
func (f *Stamped) set(s string, at Version) {
	if s == "" {
		return
	}
	if c := at.Compare(f.At); f.V == "" || c > 0 || c == 0 && s > f.V {
		f.V, f.At = s, at
	}
}
