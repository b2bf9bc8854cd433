package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/buildkite"
	"github.com/build-tracker/build-tracker/config"
)

const ping = `{"event": "ping"}`

func TestDeliveryIsPostedAsBuildkiteDoes(t *testing.T) {
	t.Parallel()
	verifier, err := buildkite.NewVerifier([]string{"hush"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	const body = "{\n \"EVENT\": 1, \"event\": \"build.\\u0066inished\", \"build\": {\"event\": \"no\"}}"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if err := verifier.Verify(r.Header, got); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{
			"POST", "/at/buildkite", body, "build.finished", "application/json", "Bearer pass",
		}, []string{
			r.Method, r.URL.Path, string(got), r.Header.Get("X-Buildkite-Event"), r.Header.Get("Content-Type"), r.Header.Get("Authorization"),
		}); diff != "" {
			t.Errorf("request (-want +got):\n%s", diff)
		}
		io.WriteString(w, `{"status":"duplicate"}`)
	}))
	defer server.Close()
	d := newDeliverer(&config.Deliver{URL: server.URL + "/at", Token: "pass", WebhookToken: "hush"})
	if word, err := d.post(t.Context(), []byte(body)); word != "duplicate" || err != nil {
		t.Errorf("%q, %v, want duplicate", word, err)
	}
}

func TestDeliveryWithoutTokenIsNotSigned(t *testing.T) {
	t.Parallel()
	d := answering(func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("X-Buildkite-Signature") != "" || r.Header.Get("Authorization") != "" {
			t.Errorf("a header that nobody asked for: %v", r.Header)
		}
		return answer(200, `{"status":"ignored"}`), nil
	})
	if word, err := d.post(t.Context(), []byte(ping)); word != "ignored" || err != nil {
		t.Errorf("%q, %v, want ignored", word, err)
	}
}

func TestPayloadWithoutEventIsNotPosted(t *testing.T) {
	t.Parallel()
	for _, body := range []string{``, `[]`, `null`, `{}`, `{"event":""}`, `{"event":1}`, `{"event":null}`, `{"Event":"ping"}`, `{"event":"ping"`} {
		d := answering(func(*http.Request) (*http.Response, error) {
			t.Errorf("%s was posted", body)
			return answer(200, ""), nil
		})
		if word, err := d.post(t.Context(), []byte(body)); err == nil {
			t.Errorf("%s is %q, want an error", body, word)
		}
	}
}

func TestDeliveryIsTriedAgainWhenItCannotBeTakenNow(t *testing.T) {
	t.Parallel()
	// ends adds one answer to what can happen: none, within any time.
	const ends = -1
	for name, tc := range map[string]struct {
		status     []int // of each answer; the last one stays
		retryAfter string
		err        error // where the status is ends
		tries      int
		atLeast    time.Duration
		atMost     time.Duration
		want       string // in the error
	}{
		"taken":                      {status: []int{200}, tries: 1},
		"unavailable for a while":    {status: []int{503, 503, 200}, tries: 3, atLeast: 375 * time.Millisecond, atMost: 750 * time.Millisecond},
		"asked to wait":              {status: []int{503, 429, 200}, retryAfter: "7", tries: 3, atLeast: 14 * time.Second, atMost: 14 * time.Second},
		"asked to wait until a time": {status: []int{429, 200}, retryAfter: "Sat, 01 Jan 2000 00:00:09 GMT", tries: 2, atLeast: 9 * time.Second, atMost: 9 * time.Second},
		"asked to wait for long":     {status: []int{503}, retryAfter: "3600", tries: 1, want: "gave up: the next try would be in 1h0m0s"},
		"asked in riddles":           {status: []int{503, 200}, retryAfter: "soon", tries: 2, atMost: 250 * time.Millisecond},
		"unavailable for good":       {status: []int{503}, tries: maxTries, atLeast: 3 * time.Second, atMost: 8 * time.Second, want: "gave up after 6 tries"},
		"unavailable, patiently":     {status: []int{503}, retryAfter: "8", tries: 4, atLeast: 24 * time.Second, atMost: 24 * time.Second, want: "gave up: the next try would be in 8s"},
		"starting":                   {status: []int{ends, ends, 200}, err: syscall.ECONNREFUSED, tries: 3, atMost: time.Second},
		"stopping":                   {status: []int{ends, 200}, err: syscall.ECONNRESET, tries: 2, atMost: time.Second},
		"closing":                    {status: []int{ends, 200}, err: io.EOF, tries: 2, atMost: time.Second},
		"dead":                       {status: []int{ends}, err: syscall.ECONNREFUSED, tries: maxTries, atMost: 8 * time.Second, want: "does not answer: connection refused"},
		"not there":                  {status: []int{ends}, err: &net.DNSError{Err: "no such host", Name: "ci"}, tries: 1, want: "no such host"},
		"refused":                    {status: []int{400}, tries: 1, want: "refuses it with 400"},
		"broken":                     {status: []int{500}, tries: 1, want: "refuses it with 500"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				d := answering(func(*http.Request) (*http.Response, error) {
					status := tc.status[min(tries, len(tc.status)-1)]
					tries++
					if status == ends {
						return nil, tc.err
					}
					res := answer(status, `{"status":"recorded"}`)
					res.Header.Set("Retry-After", tc.retryAfter)
					return res, nil
				})
				began := time.Now()
				word, err := d.post(t.Context(), []byte(ping))
				took := time.Since(began)
				if tc.want == "" && (err != nil || word != "recorded") {
					t.Errorf("%q, %v, want recorded", word, err)
				}
				if tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
					t.Errorf("%q, %v, want an error with %q", word, err, tc.want)
				}
				if tries != tc.tries || took < tc.atLeast || took > tc.atMost {
					t.Errorf("%d tries in %s, want %d in %s to %s", tries, took, tc.tries, tc.atLeast, tc.atMost)
				}
			})
		})
	}
}

func TestServerThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := answering(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		began := time.Now()
		_, err := d.post(t.Context(), []byte(ping))
		if took := time.Since(began); err == nil || took > maxPatience+answerTimeout {
			t.Errorf("error %v after %s", err, took)
		}
	})
}

func TestRefusalSaysWhyAndWhatToDo(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status int
		token  config.Secret
		body   string
		want   string
	}{
		"an event it cannot use":    {400, "", `{"title":"Bad Request","detail":"It has no build."}`, "refuses it with 400: It has no build."},
		"a token where none is set": {401, "", `{"detail":"Not authentic."}`, "Not authentic. (--buildkite-webhook-token is not set here)"},
		"another token":             {401, "hush", `{"detail":"Not authentic."}`, "Not authentic. (--buildkite-webhook-token is none of the server's)"},
		"too large":                 {413, "", `{"detail":"The body is larger than 5 MiB."}`, "larger than 5 MiB"},
		"the other listener":        {404, "", `{"title":"Not Found"}`, "Not Found (--url names the address that takes webhooks, not the ADMIN_ADDR)"},
		"a web page":                {500, "", "<html>", "refuses it with 500: 500 Internal Server Error"},
		"a redirect":                {308, "", "", `(it redirects to "https://ci.example.com/": --url names the server itself)`},
		"some web server":           {200, "", "<html>", "answers, but not as a build-tracker does"},
		"some other program":        {200, "", `{"status":"ok"}`, "answers, but not as a build-tracker does"},
		"an endless answer":         {200, "", strings.Repeat(" ", maxAnswer) + `{"status":"recorded"}`, "not as a build-tracker does"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := answering(func(*http.Request) (*http.Response, error) {
				res := answer(tc.status, tc.body)
				res.Header.Set("Location", "https://ci.example.com/")
				return res, nil
			})
			d.to.WebhookToken = tc.token
			word, err := d.post(t.Context(), []byte(ping))
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hush") {
				t.Errorf("%q, %v, want an error with %q", word, err, tc.want)
			}
		})
	}
}

func TestInterruptedDeliveryEndsTheTryUnderWay(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status int
		word   string
		err    error
	}{
		"it is taken":            {200, "recorded", nil},
		"it cannot be taken now": {503, "", context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			tries := 0
			d := answering(func(r *http.Request) (*http.Response, error) {
				tries++
				cancel()
				if err := r.Context().Err(); err != nil {
					return nil, err
				}
				return answer(tc.status, `{"status":"recorded"}`), nil
			})
			if word, err := d.post(ctx, []byte(ping)); word != tc.word || !errors.Is(err, tc.err) {
				t.Errorf("%q, %v, want %q, %v", word, err, tc.word, tc.err)
			}
			if _, err := d.post(ctx, []byte(ping)); !errors.Is(err, context.Canceled) || tries != 1 {
				t.Errorf("error %v after %d tries, want no try after the end", err, tries)
			}
		})
	}
}

func TestPostersKeepTheirConnections(t *testing.T) {
	t.Parallel()
	rounds := map[string]*sync.WaitGroup{"one": {}, "two": {}}
	for _, here := range rounds {
		here.Add(maxPosters)
	}
	var opened atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		here := rounds[r.Header.Get("X-Buildkite-Event")]
		here.Done()
		here.Wait() // for all posters: each needs a connection of its own
		io.WriteString(w, `{"status":"recorded"}`)
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	d := newDeliverer(&config.Deliver{URL: server.URL})
	for _, round := range []string{"one", "two"} {
		var posters sync.WaitGroup
		for range maxPosters {
			posters.Go(func() {
				if _, err := d.post(t.Context(), []byte(`{"event":"`+round+`"}`)); err != nil {
					t.Error(err)
				}
			})
		}
		posters.Wait()
	}
	if n := opened.Load(); n != maxPosters {
		t.Errorf("%d connections, want %d", n, maxPosters)
	}
}

// answering returns a deliverer whose server is a function.
func answering(server roundTripper) *deliverer {
	d := newDeliverer(&config.Deliver{URL: "http://ci"})
	d.http.Transport = server
	return d
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, body string) *http.Response {
	rec := httptest.NewRecorder()
	rec.WriteHeader(status)
	io.WriteString(rec, body)
	return rec.Result()
}
