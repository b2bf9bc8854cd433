package buildkite_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/build-tracker/build-tracker/buildkite"
)

// The expected value is openssl's: printf '1714564800.{"event":"ping"}' |
// openssl dgst -sha256 -hmac hush.
func TestSignIsHMACOfTimeAndBody(t *testing.T) {
	t.Parallel()
	at := time.Date(2024, 5, 1, 12, 0, 0, 999, time.UTC)
	const want = "timestamp=1714564800,signature=f569cc9114422eaf2dc77ce180228ecf1f5ae195b41f8ee115e3ccbbade62fd6"
	if got := buildkite.Sign("hush", at, []byte(`{"event":"ping"}`)); got != want {
		t.Errorf("signature %q, want %q", got, want)
	}
}

func TestVerifierTakesWhatSignMade(t *testing.T) {
	t.Parallel()
	at := time.Date(2024, 5, 1, 12, 0, 0, 0, time.FixedZone("", 3600))
	v, err := buildkite.NewVerifier([]string{"old", "new"}, func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	body := []byte("{\"event\":\r\n\"ping\"} ")
	header := http.Header{}
	header.Set("X-Buildkite-Signature", buildkite.Sign("new", at, body))
	if err := v.Verify(header, body); err != nil {
		t.Error(err)
	}
	if err := v.Verify(header, body[:len(body)-1]); !errors.Is(err, buildkite.ErrBadSignature) {
		t.Errorf("error %v for another body, want %v", err, buildkite.ErrBadSignature)
	}
}
