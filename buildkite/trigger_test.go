package buildkite_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/buildkite"
	"github.com/build-tracker/build-tracker/internal/testenv/buildkiteapi"
)

func creator(t *testing.T, url, token string) *buildkite.Creator {
	t.Helper()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	c, err := buildkite.NewCreator(buildkite.RESTOptions{Token: token, URL: url, Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// metrics starts a Buildkite with the pipeline acme/metrics.
func metrics(t *testing.T) *buildkiteapi.Server {
	t.Helper()
	s, err := buildkiteapi.New(buildkiteapi.Options{OrganizationLimit: -1, UserLimit: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	s.PutPipeline("acme", "metrics")
	return s
}

func newBuild(of string) buildkite.NewBuild {
	return buildkite.NewBuild{
		Organization: "acme", Pipeline: "metrics", Branch: "main", Commit: "HEAD", Message: "of " + of,
		Env: map[string]string{"OF": of}, MetaData: map[string]string{"of": of},
	}
}

func TestABuildThatWasCreatedIsFoundByItsMetaData(t *testing.T) {
	t.Parallel()
	s := metrics(t)
	c := creator(t, s.URL(), s.Token())
	if _, err := c.Create(t.Context(), newBuild("a")); err != nil {
		t.Fatal(err)
	}
	number, err := c.Create(t.Context(), newBuild("b"))
	if err != nil || number != 2 {
		t.Fatalf("build %d, %v; want the second", number, err)
	}
	for of, want := range map[string]int64{"a": 1, "b": 2, "c": 0} {
		if got, err := c.Find(t.Context(), "acme", "metrics", map[string]string{"of": of}); got != want || err != nil {
			t.Errorf("of %s: build %d, %v; want %d", of, got, err, want)
		}
	}
	posted := s.Posted()[0]
	if posted.Branch != "main" || posted.Commit != "HEAD" || posted.Message != "of a" || posted.Env["OF"] != "a" {
		t.Errorf("created %+v", posted)
	}
}

// A build is not asked for a second time by itself: nobody knows whether it is there.
func TestABuildWhoseAnswerIsLostIsNotCreatedAgain(t *testing.T) {
	t.Parallel()
	s := metrics(t)
	c := creator(t, s.URL(), s.Token())
	s.LoseAnswers(1)
	if _, err := c.Create(t.Context(), newBuild("a")); err == nil {
		t.Error("an answer that was lost is none")
	}
	s.Fail(http.StatusInternalServerError, 1)
	if _, err := c.Create(t.Context(), newBuild("b")); err == nil {
		t.Error("500 is no answer")
	}
	if n := len(s.Posted()); n != 1 {
		t.Errorf("%d builds, want 1", n)
	}
	if n := len(s.Calls()); n != 2 {
		t.Errorf("%d calls, want 2", n)
	}
}

func TestABuildOverTheLimitIsCreatedLater(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var bodies []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var body strings.Builder
		if err := r.Write(&body); err != nil {
			t.Error(err)
		}
		_, text, _ := strings.Cut(body.String(), "\r\n\r\n")
		if bodies = append(bodies, text); len(bodies) < 3 {
			w.Header().Set("Retry-After", "0.01")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"id":"x","number":7}`))
	}))
	t.Cleanup(server.Close)
	number, err := creator(t, server.URL, "token").Create(t.Context(), newBuild("a"))
	if number != 7 || err != nil {
		t.Errorf("build %d, %v; want 7", number, err)
	}
	if len(bodies) != 3 || !strings.Contains(bodies[0], `"OF":"a"`) || bodies[1] != bodies[0] || bodies[2] != bodies[0] {
		t.Errorf("the requests are %q", bodies)
	}
}

func TestARefusalSaysWhatToDoAndKeepsTheToken(t *testing.T) {
	t.Parallel()
	s := metrics(t)
	c := creator(t, s.URL(), "secret-token")
	_, err := c.Create(t.Context(), newBuild("a"))
	refused := new(buildkite.RESTError)
	if !errors.As(err, &refused) || refused.Status != http.StatusUnauthorized {
		t.Fatalf("the error is %v", err)
	}
	if text := err.Error(); !strings.Contains(text, "create a build of acme/metrics") || !strings.Contains(text, "BUILDKITE_TOKEN") || strings.Contains(text, "secret-token") {
		t.Errorf("the error is %q", text)
	}
}

func TestTheOriginOfABuildIsTold(t *testing.T) {
	t.Parallel()
	s := metrics(t)
	s.Put("acme", "web", map[string]any{"number": 1, "triggered_from": map[string]any{"build_id": "m", "build_number": 4, "build_pipeline_slug": "metrics"}})
	s.Put("acme", "web", map[string]any{"number": 2, "triggered_from": nil})
	c := creator(t, s.URL(), s.Token())
	for number, want := range map[int64]build.Origin{1: {BuildID: "m", Number: 4, Pipeline: "metrics"}, 2: {}, 3: {}} {
		got, err := c.Origin(t.Context(), "acme", "web", number)
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("of build %d (-want +got):\n%s", number, diff)
		}
	}
}
