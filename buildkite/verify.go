package buildkite

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Why a delivery is not authentic. Verify returns one of them.
var (
	// ErrNoCredentials: neither a token nor a signature came with it.
	ErrNoCredentials = errors.New("no X-Buildkite-Token and no X-Buildkite-Signature")
	// ErrBadToken: the token is none of ours.
	ErrBadToken = errors.New("the webhook token is not known here")
	// ErrBadSignature: the signature is malformed or not made with one of our
	// tokens over this body.
	ErrBadSignature = errors.New("the webhook signature does not match")
	// ErrStale: the signature is right, but its timestamp is more than five
	// minutes from now.
	ErrStale = errors.New("the webhook signature is too old")
)

// maxSkew is how far a signature's timestamp may be from now, either way.
const maxSkew = 5 * time.Minute

// Verifier tells deliveries of our Buildkite webhooks from others'. While
// tokens rotate there are several; each of them will do.
type Verifier struct {
	tokens [][]byte
	// digests are the tokens' SHA-256: of one length, so that comparing takes
	// the same time whatever the token.
	digests [][sha256.Size]byte
	now     func() time.Time
}

// NewVerifier returns a Verifier for these tokens. A blank token is an error;
// without any, nothing is authentic. The clock now is time.Now when nil.
func NewVerifier(tokens []string, now func() time.Time) (*Verifier, error) {
	if now == nil {
		now = time.Now
	}
	v := &Verifier{now: now}
	for i, token := range tokens {
		if strings.TrimSpace(token) == "" {
			return nil, errors.New("webhook token " + strconv.Itoa(i+1) + " is empty")
		}
		v.tokens = append(v.tokens, []byte(token))
		v.digests = append(v.digests, sha256.Sum256([]byte(token)))
	}
	return v, nil
}

// Verify returns nil for an authentic delivery: one with a known
// X-Buildkite-Token, or with an X-Buildkite-Signature made with a known token
// over its timestamp and body in the last five minutes. Where both headers
// came, one that holds is enough; where neither of them does, the error is the
// signature's, which says more.
func (v *Verifier) Verify(h http.Header, body []byte) error {
	token, signature := h.Get("X-Buildkite-Token"), h.Get("X-Buildkite-Signature")
	if token == "" && signature == "" {
		return ErrNoCredentials
	}
	if token != "" && v.knows(token) {
		return nil
	}
	if signature == "" {
		return ErrBadToken
	}
	return v.verifySignature(signature, body)
}

// knows compares with every token, so that time tells nothing.
func (v *Verifier) knows(token string) bool {
	digest := sha256.Sum256([]byte(token))
	found := 0
	for i := range v.digests {
		found |= subtle.ConstantTimeCompare(digest[:], v.digests[i][:])
	}
	return found == 1
}

func (v *Verifier) verifySignature(header string, body []byte) error {
	sig, ok := parseSignature(header)
	if !ok {
		return ErrBadSignature
	}
	found := false
	for _, token := range v.tokens {
		mac := hmac.New(sha256.New, token)
		mac.Write([]byte(sig.stamp))
		mac.Write([]byte{'.'})
		mac.Write(body)
		var sum [sha256.Size]byte
		if hmac.Equal(mac.Sum(sum[:0]), sig.mac[:]) {
			found = true
		}
	}
	switch age := v.now().Sub(sig.time); {
	case !found:
		return ErrBadSignature
	case age > maxSkew || age < -maxSkew:
		return ErrStale
	}
	return nil
}

// signature is what the header X-Buildkite-Signature says.
type signature struct {
	stamp string // as it came: the digits are what is signed
	time  time.Time
	mac   [sha256.Size]byte
}

// parseSignature reads "timestamp=SECONDS,signature=HEX", in either order.
func parseSignature(header string) (signature, bool) {
	var sig signature
	var haveTime, haveMAC bool
	for field := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		switch name {
		case "timestamp":
			// Twelve digits last for 30,000 years; what is longer is no time.
			seconds, err := strconv.ParseUint(value, 10, 63)
			if err != nil || len(value) > 12 || haveTime {
				return signature{}, false
			}
			sig.stamp, sig.time, haveTime = value, time.Unix(int64(seconds), 0), true
		case "signature":
			if len(value) != hex.EncodedLen(len(sig.mac)) || haveMAC {
				return signature{}, false
			}
			if _, err := hex.Decode(sig.mac[:], []byte(value)); err != nil {
				return signature{}, false
			}
			haveMAC = true
		}
	}
	return sig, haveTime && haveMAC
}
