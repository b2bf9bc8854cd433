package notify

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"
)

// maxAnswer bounds what is read of an answer: a page of 200 messages with
// their blocks is well below.
const maxAnswer = 16 << 20

var errLongAnswer = errors.New("the answer is longer than 16 MiB")

// idleTimeout is how long a connection is kept for the next call.
const idleTimeout = 15 * time.Second

// transport is slack-go's HTTP client: it reads answers whole and bounded, and
// sends the token nowhere but to the configured URL.
type transport struct{ client *http.Client }

func newTransport(client *http.Client, around func(http.RoundTripper) http.RoundTripper) *transport {
	c := http.Client{}
	if client != nil {
		c = *client
	} else if t, ok := http.DefaultTransport.(*http.Transport); ok {
		own := t.Clone()
		// A request on a connection that Slack is just closing has an unknown
		// outcome: do not keep them for long.
		own.IdleConnTimeout = idleTimeout
		c.Transport = own
	}
	if around != nil {
		c.Transport = around(cmp.Or(c.Transport, http.DefaultTransport))
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &transport{client: &c}
}

// errTooLate: the time for the call had passed before it began, as it does
// when the process stands still.
var errTooLate = errors.New("too late to call")

// Do sends a request. An answer that was cut off is an error.
func (t *transport) Do(req *http.Request) (*http.Response, error) {
	if deadline, ok := req.Context().Deadline(); ok && !time.Now().Before(deadline) {
		return nil, errTooLate
	}
	resp, err := t.client.Do(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if cerr := resp.Body.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, err
	}
	if len(body) > maxAnswer {
		return nil, errLongAnswer
	}
	resp.Body = io.NopCloser(bytes.NewReader(trimRefusal(body)))
	return resp, nil
}

// trimRefusal leaves of an answer that says no only what slack-go understands:
// it fails on details it does not know, and a clear refusal would look like an
// answer that was lost.
func trimRefusal(body []byte) []byte {
	var refusal struct {
		OK    *bool  `json:"ok"`
		Error string `json:"error"`
		Meta  struct {
			Messages []string `json:"messages"`
		} `json:"response_metadata"`
		Needed string `json:"needed,omitempty"`
	}
	_ = json.Unmarshal(body, &refusal) // a detail of another type leaves the rest filled in
	if refusal.OK == nil || *refusal.OK || refusal.Error == "" {
		return body
	}
	trimmed, err := json.Marshal(refusal)
	if err != nil {
		return body
	}
	return trimmed
}

// trace notes whether a request got as far as a connection. Without one it
// cannot have reached Slack. A client that does not say counts as connected.
type trace struct{ asked, connected atomic.Bool }

func (t *trace) context(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { t.asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { t.connected.Store(true) },
	})
}

func (t *trace) sent() bool { return !t.asked.Load() || t.connected.Load() }

// redact removes a secret from text, as it is and as a form carries it.
func redact(text, secret, encoded string) string {
	if secret == "" {
		return text
	}
	return strings.NewReplacer(secret, "[token]", encoded, "[token]").Replace(text)
}
