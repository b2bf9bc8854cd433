package buildkiteapi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/buildkite/go-buildkite/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/internal/testenv/buildkiteapi"
)

// get asks without a client's own retries and returns the status and the headers
// of limits, each with its value.
func get(t *testing.T, s *buildkiteapi.Server, path string) (int, map[string]string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.Token())
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	limits := make(map[string]string)
	for name := range res.Header {
		if rest, ok := strings.CutPrefix(name, "Ratelimit-"); ok {
			limits[rest] = res.Header.Get(name)
		}
	}
	return res.StatusCode, limits
}

func TestEveryAnswerSaysWhatIsLeftOfBothLimits(t *testing.T) {
	t.Parallel()
	s, now := start(t, buildkiteapi.Options{OrganizationLimit: 200, UserLimit: 50})
	putBuilds(s, 1)
	get(t, s, "/v2/organizations/acme/builds")
	now.Turn(18*time.Second + time.Millisecond)
	code, limits := get(t, s, "/v2/organizations/acme/pipelines/none/builds")
	want := map[string]string{
		"Scope": "rest", "Limit": "200", "Remaining": "198", "Reset": "42",
		"User-Scope": "rest_user", "User-Limit": "50", "User-Remaining": "48", "User-Reset": "42",
	}
	if diff := cmp.Diff(want, limits); diff != "" || code != http.StatusNotFound {
		t.Errorf("status %d, limits (-want +got):\n%s", code, diff)
	}
}

func TestMoreThanTheLimitIsRefusedUntilTheNextMinute(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		o      buildkiteapi.Options
		prefix string
	}{
		{"organization", buildkiteapi.Options{OrganizationLimit: 3, UserLimit: -1}, ""},
		{"user", buildkiteapi.Options{OrganizationLimit: -1, UserLimit: 3}, "User-"},
	} {
		s, now := start(t, c.o)
		putBuilds(s, 1)
		var codes []int
		ask := func() map[string]string {
			code, limits := get(t, s, "/v2/organizations/acme/builds")
			codes = append(codes, code)
			return limits
		}
		for range 3 {
			ask()
		}
		now.Turn(59 * time.Second)
		if limits := ask(); limits[c.prefix+"Remaining"] != "0" || limits[c.prefix+"Reset"] != "1" {
			t.Errorf("%s: limits %v; want 0 remaining for 1 s", c.name, limits)
		}
		now.Turn(time.Second)
		ask()
		if diff := cmp.Diff([]int{200, 200, 200, 429, 200}, codes); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestAnotherOrganizationHasALimitOfItsOwn(t *testing.T) {
	t.Parallel()
	s, _ := start(t, buildkiteapi.Options{OrganizationLimit: 1, UserLimit: -1})
	s.PutPipeline("acme", "web")
	s.PutPipeline("other", "web")
	var codes []int
	for _, organization := range []string{"acme", "acme", "other"} {
		code, _ := get(t, s, "/v2/organizations/"+organization+"/builds")
		codes = append(codes, code)
	}
	if diff := cmp.Diff([]int{200, 429, 200}, codes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestARefusalSaysWhichLimitWasExceeded(t *testing.T) {
	t.Parallel()
	s, _ := start(t, buildkiteapi.Options{OrganizationLimit: 10, UserLimit: 1})
	s.PutPipeline("acme", "web")
	create := func() error {
		_, _, err := client(t, s).Builds.Create(t.Context(), "acme", "web", buildkite.CreateBuild{Commit: "c", Branch: "main"})
		return err
	}
	if err := create(); err != nil {
		t.Fatal(err)
	}
	err := create()
	if want := "You have exceeded your API rate limit. Please wait 60 seconds before making more requests."; message(t, err) != want {
		t.Errorf("%v, want %s", err, want)
	}
	if n := len(s.Posted()); n != 1 {
		t.Errorf("%d builds were created, want 1", n)
	}
}

// turning turns the clock on when it sees that a limit was exceeded.
type turning struct{ now *clock }

func (t turning) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && res.StatusCode == http.StatusTooManyRequests {
		t.now.Turn(time.Minute)
	}
	return res, err
}

func TestAClientThatTriesAgainInTheNextMinuteIsServed(t *testing.T) {
	t.Parallel()
	s, now := start(t, buildkiteapi.Options{OrganizationLimit: 1, UserLimit: 10})
	putBuilds(s, 2)
	c := clientOver(t, s, s.Token(), turning{now})
	for range 2 {
		builds, _, err := c.Builds.ListByOrg(t.Context(), "acme", nil)
		if err != nil || len(builds) != 2 {
			t.Fatalf("%d builds, %v; want 2", len(builds), err)
		}
	}
	if n := s.CountCalls("429"); n != 1 {
		t.Errorf("%d calls were refused, want 1", n)
	}
}
