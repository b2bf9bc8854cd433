package buildkite

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// transport answers requests without a network.
type transport func(n int) (status int, headers []string, err error)

// ask makes requests one after the other, and returns when each attempt was made,
// in seconds since the first, and how the last request ended.
func (answers transport) ask(t *testing.T, requests int) (at []int, outcomes []string, last error) {
	t.Helper()
	began := time.Now()
	l := &limited{answered: func(outcome string) { outcomes = append(outcomes, outcome) }}
	l.next = roundTripper(func(r *http.Request) (*http.Response, error) {
		at = append(at, int(time.Since(began).Seconds()))
		status, headers, err := answers(len(at))
		if err != nil {
			return nil, err
		}
		h := make(http.Header)
		for i := 0; i < len(headers); i += 2 {
			h.Set(headers[i], headers[i+1])
		}
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader("{}")), Request: r}, nil
	})
	for range requests {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://buildkite.invalid/", nil)
		if err != nil {
			t.Fatal(err)
		}
		var res *http.Response
		if res, last = l.RoundTrip(r); last == nil {
			res.Body.Close()
		}
	}
	return at, outcomes, last
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestFiftyRequestsAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		at, _, err := transport(func(int) (int, []string, error) { return 200, nil, nil }).ask(t, 170)
		if err != nil {
			t.Fatal(err)
		}
		for i := range at[50:] {
			if since := at[50+i] - at[i]; since <= 60 {
				t.Fatalf("51 requests are made in %d seconds", since)
			}
		}
		if took := at[len(at)-1]; took > 200 {
			t.Errorf("170 requests take %d seconds", took)
		}
	})
}

func TestLimitsAndFailuresAreWaitedFor(t *testing.T) {
	t.Parallel()
	broken := errors.New("no route to host")
	for name, c := range map[string]struct {
		answers  transport
		requests int
		at       []int
		err      string
	}{
		"a 429 waits as its headers say": {func(n int) (int, []string, error) {
			if n == 1 {
				return 429, []string{"RateLimit-Remaining", "0", "RateLimit-Reset", "17"}, nil
			}
			return 200, nil, nil
		}, 1, []int{0, 17}, ""},
		"one of the token's limit, too": {func(n int) (int, []string, error) {
			if n == 1 {
				return 429, []string{"RateLimit-Remaining", "150", "RateLimit-Reset", "5", "RateLimit-User-Remaining", "0", "RateLimit-User-Reset", "40"}, nil
			}
			return 200, nil, nil
		}, 1, []int{0, 40}, ""},
		"one that does not say": {func(n int) (int, []string, error) {
			if n == 1 {
				return 429, nil, nil
			}
			return 200, nil, nil
		}, 1, []int{0, 10}, ""},
		"a 429 for ever is an error": {
			func(int) (int, []string, error) { return 429, []string{"Retry-After", "9999"}, nil }, 1,
			[]int{0, 300, 600, 900, 1200},
			"others use up the token's requests",
		},
		"what is left of the limit is left to others": {func(n int) (int, []string, error) {
			left := map[int]string{1: "7", 2: "6", 3: "5"}[n]
			return 200, []string{"RateLimit-User-Limit", "50", "RateLimit-User-Remaining", left, "RateLimit-User-Reset", "30"}, nil
		}, 4, []int{0, 0, 0, 30}, ""},
		"5xx and no answer are tried again": {func(n int) (int, []string, error) {
			switch n {
			case 1:
				return 502, nil, nil
			case 2:
				return 0, nil, broken
			}
			return 200, nil, nil
		}, 1, []int{0, 1, 3}, ""},
		"no answer for ever is an error": {func(int) (int, []string, error) { return 0, nil, broken }, 1, []int{0, 1, 3, 7, 15, 31}, "no route to host"},
		"a refusal is not tried again":   {func(int) (int, []string, error) { return 403, nil, nil }, 1, []int{0}, "give it the scopes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				at, outcomes, err := c.answers.ask(t, c.requests)
				if diff := cmp.Diff(c.at, at); diff != "" {
					t.Errorf("seconds of the attempts (-want +got):\n%s", diff)
				}
				if len(outcomes) != len(at) {
					t.Errorf("%d outcomes of %d attempts", len(outcomes), len(at))
				}
				if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
					t.Errorf("the error is %v, want %q", err, c.err)
				}
			})
		})
	}
}
