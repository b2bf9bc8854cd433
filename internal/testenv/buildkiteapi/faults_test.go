package buildkiteapi_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/buildkite/go-buildkite/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/internal/testenv/buildkiteapi"
)

// list lists acme's builds n times and returns the statuses, 0 for no answer.
func list(t *testing.T, s *buildkiteapi.Server, n int) []int {
	t.Helper()
	var codes []int
	for range n {
		_, r, _ := client(t, s).Builds.ListByOrg(t.Context(), "acme", nil)
		codes = append(codes, status(r))
	}
	return codes
}

func TestFaultsEndAfterTheirNumberOrWhenTold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		set  func(s *buildkiteapi.Server, n int)
		code int
	}{
		{"unavailable", func(s *buildkiteapi.Server, n int) { s.Fail(http.StatusServiceUnavailable, n) }, http.StatusServiceUnavailable},
		{"cut", (*buildkiteapi.Server).Cut, 0},
	} {
		s, _ := start(t, buildkiteapi.Options{})
		putBuilds(s, 1)
		got := list(t, s, 1)
		c.set(s, 2)
		got = append(got, list(t, s, 3)...)
		c.set(s, -1)
		got = append(got, list(t, s, 3)...)
		c.set(s, 0)
		got = append(got, list(t, s, 1)...)
		if diff := cmp.Diff([]int{200, c.code, c.code, 200, c.code, c.code, c.code, 200}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestABuildIsNotCreatedWhenTheConnectionIsCutBefore(t *testing.T) {
	t.Parallel()
	s, _ := start(t, buildkiteapi.Options{})
	s.PutPipeline("acme", "web")
	s.Cut(1)
	_, _, err := client(t, s).Builds.Create(t.Context(), "acme", "web", buildkite.CreateBuild{Commit: "c", Branch: "main"})
	if err == nil || len(s.Posted()) != 0 || s.CountCalls("cut") != 1 {
		t.Errorf("%v, posted %+v, calls %+v; want an error and nothing posted", err, s.Posted(), s.Calls())
	}
}

func TestASlowAnswerIsGivenUpByAClient(t *testing.T) {
	t.Parallel()
	s, _ := start(t, buildkiteapi.Options{})
	putBuilds(s, 1)
	s.SetLatency(time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := client(t, s).Builds.ListByOrg(ctx, "acme", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want that the deadline was exceeded", err)
	}
}

func TestClosingEndsSlowAnswers(t *testing.T) {
	t.Parallel()
	s, _ := start(t, buildkiteapi.Options{})
	putBuilds(s, 1)
	s.SetLatency(time.Hour)
	arrived, answered := make(chan struct{}), make(chan int, 1)
	s.Before(func(buildkiteapi.Call) { close(arrived) })
	go func() { answered <- list(t, s, 1)[0] }()
	<-arrived
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if code := <-answered; code != http.StatusOK {
		t.Errorf("status %d, want 200", code)
	}
}

func TestAHookMayAddABuildBeforeARequestIsAnswered(t *testing.T) {
	t.Parallel()
	s, _ := start(t, buildkiteapi.Options{})
	putBuilds(s, 1)
	s.Before(func(buildkiteapi.Call) { s.Put("acme", "web", map[string]any{"number": 2, "id": "b"}) })
	builds, _, err := client(t, s).Builds.ListByOrg(t.Context(), "acme", nil)
	if diff := cmp.Diff([]int{2, 1}, numbers(builds)); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestASkewedClockShowsInDatesAndFilters(t *testing.T) {
	t.Parallel()
	s, _ := start(t, buildkiteapi.Options{})
	s.Put("acme", "web", map[string]any{"created_at": noon, "finished_at": noon.Add(time.Minute), "jobs": []any{map[string]any{"id": "j", "started_at": noon}}})
	s.SetSkew(-time.Hour)
	builds, r, err := client(t, s).Builds.ListByOrg(t.Context(), "acme", &buildkite.BuildsListOptions{
		CreatedFrom: noon.Add(-time.Hour), CreatedTo: noon, FinishedFrom: noon.Add(-time.Hour + time.Minute),
	})
	if err != nil || len(builds) != 1 {
		t.Fatalf("%d builds, %v; want 1", len(builds), err)
	}
	date, err := http.ParseTime(r.Header.Get("Date"))
	if err != nil {
		t.Fatal(err)
	}
	got := []time.Time{date, builds[0].CreatedAt.Time, builds[0].FinishedAt.Time, builds[0].Jobs[0].StartedAt.Time}
	want := []time.Time{noon.Add(-time.Hour), noon.Add(-time.Hour), noon.Add(-59 * time.Minute), noon.Add(-time.Hour)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Date, created, finished, job started (-want +got):\n%s", diff)
	}
	s.SetSkew(0)
	builds, _, err = client(t, s).Builds.ListByOrg(t.Context(), "acme", nil)
	if err != nil || len(builds) != 1 || !builds[0].CreatedAt.Time.Equal(noon) {
		t.Errorf("%+v, %v; want one build of noon", builds, err)
	}
}
