package buildkite

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"
)

// Sign returns the X-Buildkite-Signature of a body, made with a webhook's token
// at a time: "timestamp=SECONDS,signature=HEX", an HMAC-SHA256 of SECONDS.BODY.
func Sign(token string, at time.Time, body []byte) string {
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(token))
	mac.Write([]byte(stamp + "."))
	mac.Write(body)
	return "timestamp=" + stamp + ",signature=" + hex.EncodeToString(mac.Sum(nil))
}
