package buildkite

import (
	"crypto/sha256"
	"hash"
)

// keySum computes a delivery's key: SHA-256 of the body as it came, not
// masked, without white space between its tokens, and of the event's name.
// Left out, because Buildkite shows them as they are when it sends:
//
//   - the top level's sender;
//   - the members of a pipeline whose names end in _count;
//   - of the object under any key "agent", what the agent does at the moment
//     (isLive) and, unless the event is about the agent itself, what became of
//     it since (isLifecycle).
//
// All else counts, the order of members and the spelling of numbers and
// strings too: Buildkite writes them alike each time. Two events that differ in
// no more than the above are one to us.
type keySum struct {
	hash hash.Hash
	// Small pieces are collected: a pretty-printed body has one for each token.
	buf [512]byte
	n   int
}

func newKeySum() keySum { return keySum{hash: sha256.New()} }

func (k *keySum) write(p []byte) {
	if len(p) > len(k.buf)-k.n {
		k.hash.Write(k.buf[:k.n])
		k.n = 0
		if len(p) > len(k.buf) {
			k.hash.Write(p)
			return
		}
	}
	k.n += copy(k.buf[k.n:], p)
}

func (k *keySum) sum() [sha256.Size]byte {
	k.hash.Write(k.buf[:k.n])
	return [sha256.Size]byte(k.hash.Sum(k.buf[:0]))
}

// keyUntil takes the body up to there into the key.
func (r *redactor) keyUntil(to int) {
	r.key.write(r.b[r.keyFrom:to])
	r.keyFrom = to
}
