package buildkite_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/buildkite"
	"github.com/build-tracker/build-tracker/internal/testenv/buildkiteapi"
)

// standIn starts a Buildkite with n builds of acme/web, of which number i was
// created i seconds after start and finished a minute later.
func standIn(t *testing.T, o buildkiteapi.Options, n int) *buildkiteapi.Server {
	t.Helper()
	s, err := buildkiteapi.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	s.PutPipeline("acme", "web")
	for i := range n {
		put(s, i+1, start.Add(time.Duration(i+1)*time.Second))
	}
	return s
}

var start = time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)

func put(s *buildkiteapi.Server, number int, created time.Time) {
	s.Put("acme", "web", map[string]any{
		"number": number, "state": "passed", "created_at": created.Format(time.RFC3339Nano),
		"finished_at": created.Add(time.Minute).Format(time.RFC3339Nano), "unknown": map[string]any{"n": 1e300},
		"pipeline": map[string]any{"slug": "web", "provider": map[string]any{"id": "github"}}, // without settings
	})
}

func rest(t *testing.T, url, token string) *buildkite.REST {
	t.Helper()
	c, err := buildkite.NewREST(buildkite.RESTOptions{Token: token, URL: url})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// numbers lists builds, each once.
func numbers(t *testing.T, c *buildkite.REST, q buildkite.BuildsQuery) (all []int) {
	t.Helper()
	err := c.Builds(t.Context(), q, func(p buildkite.BuildsPage) error {
		for _, raw := range p.Builds {
			var b struct{ Number int }
			if err := json.Unmarshal(raw, &b); err != nil {
				return err
			}
			if !slices.Contains(all, b.Number) {
				all = append(all, b.Number)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// upTo returns n, n-1, … down to least.
func upTo(n, least int) (all []int) {
	for ; n >= least; n-- {
		all = append(all, n)
	}
	return all
}

func TestBuildsAreListedToTheLast(t *testing.T) {
	t.Parallel()
	from := func(second int) time.Time { return start.Add(time.Minute + time.Duration(second)*time.Second) }
	for name, c := range map[string]struct {
		options buildkiteapi.Options
		query   buildkite.BuildsQuery
		want    []int
	}{
		"over pages":                      {buildkiteapi.Options{}, buildkite.BuildsQuery{Organization: "acme"}, upTo(230, 1)},
		"beyond where Buildkite lists to": {buildkiteapi.Options{Depth: 100}, buildkite.BuildsQuery{Organization: "acme"}, upTo(230, 1)},
		"of a pipeline, since a time":     {buildkiteapi.Options{}, buildkite.BuildsQuery{Organization: "acme", Pipeline: "web", FinishedFrom: from(120)}, upTo(230, 120)},
		"from where a list stopped":       {buildkiteapi.Options{}, buildkite.BuildsQuery{Organization: "acme", Before: start.Add(100 * time.Second)}, upTo(99, 1)},
		"none":                            {buildkiteapi.Options{}, buildkite.BuildsQuery{Organization: "acme", FinishedFrom: from(500)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := standIn(t, c.options, 230)
			got := numbers(t, rest(t, s.URL(), s.Token()), c.query)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("builds (-want +got):\n%s", diff)
			}
			for _, call := range s.Calls() {
				if !strings.Contains(call.Target, "include_retried_jobs=true") {
					t.Errorf("asks without retried jobs: %s", call.Target)
				}
			}
		})
	}
}

func TestListThatCannotBeNarrowedIsAnError(t *testing.T) {
	t.Parallel()
	s := standIn(t, buildkiteapi.Options{Depth: 50}, 0)
	for number := range 101 { // all at one time
		put(s, number+1, start)
	}
	err := rest(t, s.URL(), s.Token()).Builds(t.Context(), buildkite.BuildsQuery{Organization: "acme"}, func(buildkite.BuildsPage) error { return nil })
	refused := new(buildkite.RESTError)
	if !errors.As(err, &refused) || refused.Status != http.StatusBadRequest || !strings.Contains(err.Error(), "narrow your query") {
		t.Errorf("the error is %v", err)
	}
}

func TestBuildsTellHowFarTheyAre(t *testing.T) {
	t.Parallel()
	now := start.Add(time.Hour)
	s := standIn(t, buildkiteapi.Options{Now: func() time.Time { return now }}, 120)
	var left []int
	var before []time.Time
	err := rest(t, s.URL(), s.Token()).Builds(t.Context(), buildkite.BuildsQuery{Organization: "acme"}, func(p buildkite.BuildsPage) error {
		if !p.Asked.Equal(now) {
			t.Errorf("asked at %s by Buildkite's clock, want %s", p.Asked, now)
		}
		left, before = append(left, p.Left), append(before, p.Before)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	at := func(number int) time.Time { return start.Add(time.Duration(number)*time.Second + time.Millisecond) }
	if diff := cmp.Diff([]any{[]int{100, 50, 0}, []time.Time{at(71), at(21), at(1)}}, []any{left, before}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Builds may have so many jobs that a page of them is too large.
func TestLargePagesAreTakenInSmallerOnes(t *testing.T) {
	t.Parallel()
	huge := strings.Repeat("x", 8<<20)
	var sizes []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		size := r.URL.Query().Get("per_page")
		sizes = append(sizes, size)
		if size == "50" || size == "13" {
			w.Write([]byte(`[{"created_at":"2026-01-05T10:00:00Z","x":"`))
			for range 9 {
				if _, err := w.Write([]byte(huge)); err != nil {
					return
				}
			}
			w.Write([]byte(`"}]`))
			return
		}
		w.Write([]byte(`[{"number":1,"created_at":"2026-01-05T10:00:00Z"}]`))
	}))
	t.Cleanup(s.Close)
	if got := numbers(t, rest(t, s.URL, "hush"), buildkite.BuildsQuery{Organization: "acme"}); !slices.Equal(got, []int{1}) {
		t.Errorf("builds %v, want 1", got)
	}
	if diff := cmp.Diff([]string{"50", "13", "4"}, sizes); diff != "" {
		t.Errorf("sizes of pages (-want +got):\n%s", diff)
	}
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{
		401: "BUILDKITE_TOKEN is no API access token", 403: "give it the scopes read_builds", 404: "check how it is written",
		302: "it answers 302", 422: "it answers 422 (Because of this.)",
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			w.Write([]byte(`{"message":"Because of this."}`))
		}))
		t.Cleanup(s.Close)
		err := rest(t, s.URL, "hush").Builds(t.Context(), buildkite.BuildsQuery{Organization: "acme"}, nil)
		if err == nil || !strings.HasPrefix(err.Error(), "ask Buildkite for the builds of acme: it answers ") ||
			!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%d: the error is %v, want one with %q", status, err, want)
		}
	}
}

func TestWebhookSourcesAreNetworks(t *testing.T) {
	t.Parallel()
	s := standIn(t, buildkiteapi.Options{}, 0)
	got, err := rest(t, s.URL()+"/", s.Token()).WebhookSources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.7/32")}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for _, body := range []string{`{}`, `{"webhook_ips":["nowhere"]}`} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(body)) }))
		t.Cleanup(s.Close)
		if got, err := rest(t, s.URL, "hush").WebhookSources(t.Context()); err == nil {
			t.Errorf("%s gives %v", body, got)
		}
	}
}

func TestRequestsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	s := standIn(t, buildkiteapi.Options{UserLimit: 1}, 60)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	enough := errors.New("enough")
	// The first request spends the limit, and the second would wait a minute.
	err := rest(t, s.URL(), s.Token()).Builds(ctx, buildkite.BuildsQuery{Organization: "acme"}, func(buildkite.BuildsPage) error {
		cancel(enough)
		return nil
	})
	if !errors.Is(err, enough) || len(s.Calls()) != 1 {
		t.Errorf("after %d requests the error is %v", len(s.Calls()), err)
	}
}
