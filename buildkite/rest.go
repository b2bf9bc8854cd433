package buildkite

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	api "github.com/buildkite/go-buildkite/v4"
)

// REST asks Buildkite's REST API, at most 50 times a minute and as its rate limits
// allow. It may be used from any goroutine; those who use one share its pace.
type REST struct {
	client *api.Client
}

// RESTOptions say how the REST API is reached.
type RESTOptions struct {
	// Token is an API access token; URL ends before /v2/.
	Token, URL string
	UserAgent  string
	// Transport makes the requests; nil is http.DefaultTransport.
	Transport http.RoundTripper
	// Answered, if not nil, hears what each request came to: its status, or
	// "no_answer". Many goroutines call it.
	Answered func(outcome string)
}

// requestTimeout bounds one request, from its first byte to the answer's last; a
// page of large builds takes Buildkite some seconds.
const requestTimeout = time.Minute

// NewREST returns a client; nothing is asked yet.
func NewREST(o RESTOptions) (*REST, error) {
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	if o.Answered == nil {
		o.Answered = func(string) {}
	}
	client, err := api.NewClient(
		api.WithHTTPClient(&http.Client{
			Transport: &limited{next: o.Transport, answered: o.Answered},
			// A redirect would carry the token elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}),
		api.WithBaseURL(strings.TrimSuffix(o.URL, "/")+"/"),
		api.WithTokenAuth(o.Token),
		api.WithUserAgent(o.UserAgent),
	)
	if err != nil {
		return nil, fmt.Errorf("reach Buildkite's API: %w", err)
	}
	return &REST{client: client}, nil
}

// get asks for a path, of what the errors name, and decodes the answer into v.
func (c *REST) get(ctx context.Context, path, what string, v any) (*api.Response, error) {
	r, err := c.client.NewRequest(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, fmt.Errorf("ask Buildkite for %s: %w", what, err)
	}
	answer, err := c.client.Do(r, v)
	if err == nil {
		return answer, nil
	}
	refused := new(RESTError)
	if errors.As(err, &refused) { // without the URL, which http adds
		err = refused
	}
	return nil, fmt.Errorf("ask Buildkite for %s: %w", what, err)
}

// WebhookSources returns the addresses and networks that Buildkite sends webhooks
// from, as GET /v2/meta names them; never none.
func (c *REST) WebhookSources(ctx context.Context) ([]netip.Prefix, error) {
	const what = "the addresses it sends webhooks from"
	var meta api.Meta
	if _, err := c.get(ctx, "v2/meta", what, &meta); err != nil {
		return nil, err
	}
	var sources []netip.Prefix
	for _, text := range meta.WebhookIPs {
		prefix, err := netip.ParsePrefix(text)
		if addr, alone := netip.ParseAddr(text); alone == nil {
			prefix, err = netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("ask Buildkite for %s: one is %q, which is none: %w", what, text, err)
		}
		sources = append(sources, prefix.Masked())
	}
	if len(sources) == 0 {
		return nil, fmt.Errorf("ask Buildkite for %s: it names none", what)
	}
	return sources, nil
}

// RESTError is an answer that is a refusal.
type RESTError struct {
	Status int
	// Message is Buildkite's, at most 300 bytes; empty for none.
	Message string
}

func (e *RESTError) Error() string {
	text := fmt.Sprintf("it answers %d", e.Status)
	if e.Message != "" {
		text += fmt.Sprintf(" (%s)", e.Message)
	}
	switch e.Status {
	case http.StatusUnauthorized:
		return text + ": BUILDKITE_TOKEN is no API access token, or was revoked; make one at buildkite.com/user/api-access-tokens"
	case http.StatusForbidden:
		return text + ": the token may not do this; give it the scopes read_builds and read_pipelines, and access to the organization"
	case http.StatusNotFound:
		return text + ": there is no such organization or pipeline, or the token has no access to it; check how it is written, and the token's organizations"
	case http.StatusTooManyRequests:
		return text + ": others use up the token's requests; try again later, or use a token of its own"
	}
	if e.Status >= http.StatusInternalServerError {
		return text + ": it is out of order; try again later"
	}
	return text
}

const maxRefusal = 300

// newRESTError reads what little of an answer is for people.
func newRESTError(status int, body []byte) *RESTError {
	var answer struct{ Message string }
	// Not all that refuses speaks JSON: the status tells then.
	_ = json.NewDecoder(bytes.NewReader(body)).Decode(&answer)
	message := strings.ToValidUTF8(answer.Message, "")
	if len(message) > maxRefusal {
		message = strings.ToValidUTF8(message[:maxRefusal], "")
	}
	return &RESTError{Status: status, Message: message}
}
