package buildkite

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)

func newVerifier(tb testing.TB, tokens ...string) *Verifier {
	tb.Helper()
	v, err := NewVerifier(tokens, func() time.Time { return noon })
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

func sign(token, stamp, body string) string {
	mac := hmac.New(sha256.New, []byte(token))
	mac.Write([]byte(stamp + "." + body))
	return "timestamp=" + stamp + ",signature=" + hex.EncodeToString(mac.Sum(nil))
}

func at(offset time.Duration) string { return fmt.Sprint(noon.Add(offset).Unix()) }

func TestVerify(t *testing.T) {
	t.Parallel()
	const body = `{"event":"ping"}`
	good := sign("old", at(0), body)
	mac := strings.TrimPrefix(good, "timestamp="+at(0)+",")
	tests := []struct {
		name, token, signature string
		want                   error
	}{
		{"no credentials", "", "", ErrNoCredentials},
		{"a token", "new", "", nil},
		{"the other token", "old", "", nil},
		{"a wrong token", "ne", "", ErrBadToken},
		{"a longer token", "newer", "", ErrBadToken},
		{"a signature", "", good, nil},
		{"a signature by the other token", "", sign("new", at(0), body), nil},
		{"a signature in the other order", "", mac + ",timestamp=" + at(0), nil},
		{"a signature with spaces", "", "timestamp=" + at(0) + ", " + mac, nil},
		{"a signature with a part unknown today", "", good + ",version=2", nil},
		{"a signature in upper case", "", "timestamp=" + at(0) + ",signature=" + strings.ToUpper(strings.TrimPrefix(mac, "signature=")), nil},
		{"a signature by an unknown token", "", sign("newer", at(0), body), ErrBadSignature},
		{"a signature over another body", "", sign("old", at(0), body+" "), ErrBadSignature},
		{"a signature over another time", "", "timestamp=" + at(1e9) + "," + mac, ErrBadSignature},
		{"five minutes old", "", sign("old", at(-5*time.Minute), body), nil},
		{"older", "", sign("old", at(-5*time.Minute-time.Second), body), ErrStale},
		{"five minutes ahead", "", sign("old", at(5*time.Minute), body), nil},
		{"further ahead", "", sign("old", at(5*time.Minute+time.Second), body), ErrStale},
		{"old and by an unknown token", "", sign("newer", at(-time.Hour), body), ErrBadSignature},
		{"right token, wrong signature", "new", "x", nil},
		{"wrong token, right signature", "x", good, nil},
		{"both wrong", "x", "y", ErrBadSignature},
		{"no value", "", "timestamp,signature", ErrBadSignature},
		{"no timestamp", "", mac, ErrBadSignature},
		{"no signature", "", "timestamp=" + at(0), ErrBadSignature},
		{"two timestamps", "", "timestamp=" + at(0) + "," + good, ErrBadSignature},
		{"two signatures", "", good + "," + mac, ErrBadSignature},
		{"a short signature", "", good[:len(good)-2], ErrBadSignature},
		{"an odd signature", "", good[:len(good)-1], ErrBadSignature},
		{"a signature that is no hex", "", good[:len(good)-2] + "zz", ErrBadSignature},
		{"a signed timestamp", "", sign("old", "-1", body), ErrBadSignature},
		{"a timestamp that is no number", "", sign("old", "now", body), ErrBadSignature},
		{"a timestamp beyond all years", "", sign("old", "99999999999999999999", body), ErrBadSignature},
		{"a timestamp beyond all clocks", "", sign("old", "999999999999", body), ErrStale},
		{"only commas", "", ",,,", ErrBadSignature},
	}
	v := newVerifier(t, "old", "new")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{}
			if tt.token != "" {
				h.Set("X-Buildkite-Token", tt.token)
			}
			if tt.signature != "" {
				h.Set("X-Buildkite-Signature", tt.signature)
			}
			if err := v.Verify(h, []byte(body)); !errors.Is(err, tt.want) {
				t.Errorf("Verify = %v, want %v", err, tt.want)
			}
		})
	}
}

func TestVerifyWithoutTokensKnowsNobody(t *testing.T) {
	t.Parallel()
	v := newVerifier(t)
	for header, value := range map[string]string{
		"X-Buildkite-Token":     "x",
		"X-Buildkite-Signature": sign("", at(0), ""),
	} {
		if err := v.Verify(http.Header{header: {value}}, nil); err == nil {
			t.Errorf("%s is authentic", header)
		}
	}
}

func TestNewVerifierRefusesBlankTokens(t *testing.T) {
	t.Parallel()
	for _, tokens := range [][]string{{""}, {"a", ""}, {" \t", "a"}} {
		if _, err := NewVerifier(tokens, nil); err == nil {
			t.Errorf("NewVerifier(%q) took it", tokens)
		}
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("", "", []byte(nil))
	f.Add("new", "timestamp=1,signature=00", []byte("{}"))
	f.Add("", sign("old", at(0), "{}"), []byte("{}"))
	f.Add("", "timestamp=,signature=,", []byte("{}"))
	v := newVerifier(f, "old", "new")
	f.Fuzz(func(t *testing.T, token, signature string, body []byte) {
		h := http.Header{"X-Buildkite-Token": {token}, "X-Buildkite-Signature": {signature}}
		if v.Verify(h, body) != nil || token == "old" || token == "new" {
			return
		}
		_, rest, _ := strings.Cut(signature, "timestamp=")
		stamp, _, _ := strings.Cut(rest, ",")
		stamp = strings.TrimSpace(stamp)
		lower := strings.ToLower(signature)
		for _, known := range []string{"old", "new"} {
			_, mac, _ := strings.Cut(sign(known, stamp, string(body)), "signature=")
			if strings.Contains(lower, mac) {
				return
			}
		}
		t.Errorf("authentic with %q and %q", token, signature)
	})
}
