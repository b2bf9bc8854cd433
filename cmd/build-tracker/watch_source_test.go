package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/config"
)

// asked is what a request asks for.
type asked struct{ Query, LastID string }

// part is what a connection brings, and how long after the part before it.
type part struct {
	after time.Duration
	text  string
}

// hangs is a part that never comes.
const hangs = time.Duration(1<<63 - 1)

// parts reads parts as they come; it ends with the request.
type parts struct {
	ctx  context.Context
	left []part
}

func (p *parts) Read(b []byte) (int, error) {
	if len(p.left) == 0 {
		return 0, io.EOF
	}
	next := &p.left[0]
	if err := sleep(p.ctx, next.after); err != nil {
		return 0, err
	}
	next.after = 0
	n := copy(b, next.text)
	if next.text = next.text[n:]; next.text == "" {
		p.left = p.left[1:]
	}
	return n, nil
}

// streamOf answers a request with a stream.
func streamOf(r *http.Request, sent ...part) *http.Response {
	res := answer(http.StatusOK, "")
	res.Header.Set("Content-Type", "text/event-stream; charset=utf-8")
	res.Body = io.NopCloser(&parts{r.Context(), sent})
	return res
}

// from is a source whose server is a function of how often it was asked before.
func from(server func(before int, r *http.Request) (*http.Response, error)) (s *eventSource, requests *[]asked) {
	s = newEventSource(config.Client{URL: "http://ci"}, "/events")
	s.start = map[string][]string{"from": {"7"}}
	requests = new([]asked)
	s.http.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		*requests = append(*requests, asked{r.URL.RawQuery, r.Header.Get("Last-Event-ID")})
		return server(len(*requests)-1, r)
	})
	return s, requests
}

// followed is what a source emits until it ends.
func followed(ctx context.Context, s *eventSource) (events, news []string, err error) {
	s.emit = func(a arrival) error {
		if a.news != "" {
			news = append(news, a.news)
		} else {
			events = append(events, a.event.Type+" "+string(a.event.Data))
		}
		return nil
	}
	err = s.follow(ctx)
	return events, news, err
}

const end = "event: end\ndata: {}\n\n"

func TestSourceGoesOnWhereTheConnectionBroke(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		first []part
		next  asked
		want  []string
		atMin time.Duration
	}{
		"cut":                 {[]part{{0, "id: 7\ndata: a\n\nid: 8\ndata: b\n\n"}}, asked{"", "8"}, []string{"message a", "message b", "end {}"}, 0},
		"cut within an event": {[]part{{0, "id: 7\ndata: a\n\nid: 8\ndata: b\n"}}, asked{"", "7"}, []string{"message a", "end {}"}, 0},
		"cut before an event": {[]part{{0, "retry: 200\n\n"}}, asked{"from=7", ""}, []string{"end {}"}, 0},
		"an id alone":         {[]part{{0, "id: 9\n\n"}}, asked{"", "9"}, []string{"end {}"}, 0},
		"an id of others":     {[]part{{0, "id: 7\ndata: a\n\nid: x\ndata: b\n\n"}}, asked{"", "7"}, []string{"message a", "message b", "end {}"}, 0},
		"shut down":           {[]part{{0, "id: 7\ndata: a\n\nevent: shutdown\ndata: {}\n\n"}, {hangs, ""}}, asked{"", "7"}, []string{"message a", "end {}"}, 0},
		"silent":              {[]part{{0, "id: 7\ndata: a\n\n"}, {hangs, ""}}, asked{"", "7"}, []string{"message a", "end {}"}, maxSilence},
		"silent, then not":    {[]part{{0, "id: 7\ndata: a\n\n"}, {40 * time.Second, ":\n\n"}, {40 * time.Second, ":\n\n"}, {0, "id: 8\ndata: b\n\n"}}, asked{"", "8"}, []string{"message a", "message b", "end {}"}, 80 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, requests := from(func(before int, r *http.Request) (*http.Response, error) {
					if before == 0 {
						return streamOf(r, tc.first...), nil
					}
					return streamOf(r, part{0, end}), nil
				})
				began := time.Now()
				events, news, err := followed(t.Context(), s)
				if err != nil || len(news) != 1 {
					t.Errorf("error %v, told %q, want to be told once", err, news)
				}
				if diff := cmp.Diff(tc.want, events); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff([]asked{{"from=7", ""}, tc.next}, *requests); diff != "" {
					t.Errorf("requests (-want +got):\n%s", diff)
				}
				if took := time.Since(began); took < tc.atMin || took > tc.atMin+time.Second {
					t.Errorf("it took %s, want %s and a short pause", took, tc.atMin)
				}
			})
		})
	}
}

func TestSourceWaitsAsItIsTold(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		hint, retryAfter string
		least, most      time.Duration
	}{
		"nothing":         {"", "", firstReconnect, 2 * firstReconnect},
		"a hint":          {"retry: 2000\n\n", "", 2 * time.Second, 3 * time.Second},
		"a hint of zero":  {"retry: 0\n\n", "", firstReconnect, 2 * firstReconnect},
		"a hint too soon": {"retry: 1\n\n", "", leastReconnect, 2 * leastReconnect},
		"a hint too late": {"retry: 86400000\n\n", "", maxReconnect, 2 * maxReconnect},
		"an hour":         {":\n\n", "3600", maxReconnect, 2 * maxReconnect},
		"some seconds":    {":\n\n", "7", 7 * time.Second, 9 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var asked []time.Time
				s, _ := from(func(before int, r *http.Request) (*http.Response, error) {
					asked = append(asked, time.Now())
					switch {
					case before == 0:
						return streamOf(r, part{0, "id: 7\ndata: a\n\n"}, part{0, tc.hint}), nil
					case before == 1 && tc.retryAfter != "":
						res := answer(http.StatusServiceUnavailable, "")
						res.Header.Set("Retry-After", tc.retryAfter)
						return res, nil
					}
					return streamOf(r, part{0, end}), nil
				})
				if _, _, err := followed(t.Context(), s); err != nil {
					t.Fatal(err)
				}
				if wait := asked[len(asked)-1].Sub(asked[len(asked)-2]); wait < tc.least || wait > tc.most {
					t.Errorf("it waited %s, want %s to %s", wait, tc.least, tc.most)
				}
			})
		})
	}
}

func TestSourceGivesUp(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reached bool
		server  func(r *http.Request) (*http.Response, error)
		after   time.Duration // at most
		want    string
	}{
		"never reached": {
			false, func(*http.Request) (*http.Response, error) { return nil, syscall.ECONNREFUSED }, firstPatience,
			"http://ci does not answer: connection refused; --url says where the server is (gave up after 5 seconds)",
		},
		"never any answer": {
			false, func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }, firstPatience + answerTimeout,
			"http://ci does not answer: nothing came for too long",
		},
		"gone": {
			true, func(*http.Request) (*http.Response, error) { return nil, syscall.ECONNREFUSED }, lostPatience,
			"lost http://ci: connection refused (gave up after 180 seconds)",
		},
		"broken": {
			true, func(*http.Request) (*http.Response, error) { return answer(500, ""), nil }, lostPatience,
			"http://ci refuses with 500: Internal Server Error (gave up after 180 seconds)",
		},
		"stopping each time": {
			true, func(r *http.Request) (*http.Response, error) {
				return streamOf(r, part{0, "retry: 1000\n\nevent: shutdown\ndata: {}\n\n"}), nil
			}, lostPatience,
			"lost http://ci: the server is stopping (gave up after 180 seconds)",
		},
		"cut each time before anything came": {
			true, func(r *http.Request) (*http.Response, error) { return streamOf(r), nil }, lostPatience,
			"lost http://ci: the connection was cut (gave up after 180 seconds)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, requests := from(func(before int, r *http.Request) (*http.Response, error) {
					if tc.reached && before == 0 {
						return streamOf(r, part{0, ":\n\n"}), nil
					}
					return tc.server(r)
				})
				began := time.Now()
				_, news, err := followed(t.Context(), s)
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("error %v, want one with %q", err, tc.want)
				}
				if took := time.Since(began); took > tc.after {
					t.Errorf("it gave up after %s, want %s", took, tc.after)
				}
				if most := 20; len(news) > 1 || len(*requests) > most {
					t.Errorf("%d requests, told %q; want at most %d, told once", len(*requests), news, most)
				}
			})
		})
	}
}

func TestSourceTakesNoForAnAnswer(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		token  config.Secret
		status int
		body   string
		want   string
	}{
		"a token is needed": {"", 401, `{"detail":"A token is needed."}`, "http://ci refuses with 401: A token is needed. (it needs a token: set BUILDTRACKER_TOKEN"},
		"another token":     {"hush", 401, `{"title":"Unauthorized"}`, "Unauthorized (the token in BUILDTRACKER_TOKEN is none of its"},
		"not allowed":       {"hush", 403, "", "Forbidden (the token in BUILDTRACKER_TOKEN is none of its"},
		"not seen":          {"", 404, `{"detail":"No such build was seen."}`, "refuses with 404: No such build was seen."},
		"another server":    {"", 404, "<html>", "Not Found (--url says where a build-tracker is)"},
		"a bad request":     {"", 400, `{"detail":"No."}`, "refuses with 400: No."},
		"a web page":        {"", 200, "<html>", "answers, but not with a stream of events: --url says"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, requests := from(func(_ int, r *http.Request) (*http.Response, error) {
				if want := strings.TrimSpace("Bearer " + tc.token.Value()); tc.token != "" && r.Header.Get("Authorization") != want {
					t.Errorf("Authorization is %q, want %q", r.Header.Get("Authorization"), want)
				}
				return answer(tc.status, tc.body), nil
			})
			s.server.Token = tc.token
			_, news, err := followed(t.Context(), s)
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hush") {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
			if len(*requests) != 1 || len(news) > 0 {
				t.Errorf("%d requests, told %q, want one and nothing", len(*requests), news)
			}
		})
	}
}

func TestSourceEndsAtAnEventWithoutEnd(t *testing.T) {
	t.Parallel()
	s, requests := from(func(_ int, r *http.Request) (*http.Response, error) {
		return streamOf(r, part{0, strings.Repeat("x", maxEvent+1)}), nil
	})
	_, _, err := followed(t.Context(), s)
	if want := "an event is longer than 16 MiB: --from begins after it"; err == nil || err.Error() != want || len(*requests) != 1 {
		t.Errorf("error %v after %d requests, want %q after one", err, len(*requests), want)
	}
}

func TestSourceEndsWithItsContext(t *testing.T) {
	t.Parallel()
	for name, server := range map[string]func(r *http.Request) (*http.Response, error){
		"while it asks":  func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() },
		"while it waits": func(*http.Request) (*http.Response, error) { return nil, syscall.ECONNREFUSED },
		"while it reads": func(r *http.Request) (*http.Response, error) { return streamOf(r, part{hangs, ""}), nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, _ := from(func(_ int, r *http.Request) (*http.Response, error) { return server(r) })
				ctx, cancel := context.WithCancel(t.Context())
				began := time.Now()
				time.AfterFunc(100*time.Millisecond, cancel)
				if _, _, err := followed(ctx, s); !errors.Is(err, context.Canceled) || time.Since(began) > 100*time.Millisecond {
					t.Errorf("error %v after %s", err, time.Since(began))
				}
			})
		})
	}
}
