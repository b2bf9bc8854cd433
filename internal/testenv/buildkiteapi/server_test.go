package buildkiteapi_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/buildkite/go-buildkite/v4"

	"github.com/build-tracker/build-tracker/internal/testenv/buildkiteapi"
)

// noon is when the clock of a test begins.
var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// clock is a clock that only a test turns.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Turn(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// start starts a stand-in with a clock at noon; limits are off unless asked for.
func start(t *testing.T, o buildkiteapi.Options) (*buildkiteapi.Server, *clock) {
	t.Helper()
	c := &clock{now: noon}
	o.Now = c.Now
	if o.OrganizationLimit == 0 && o.UserLimit == 0 {
		o.OrganizationLimit, o.UserLimit = -1, -1
	}
	s, err := buildkiteapi.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, c
}

func client(t *testing.T, s *buildkiteapi.Server) *buildkite.Client {
	t.Helper()
	return clientOver(t, s, s.Token(), http.DefaultTransport)
}

func clientOver(t *testing.T, s *buildkiteapi.Server, token string, transport http.RoundTripper) *buildkite.Client {
	t.Helper()
	c, err := buildkite.NewClient(buildkite.WithBaseURL(s.URL()), buildkite.WithTokenAuth(token),
		buildkite.WithHTTPClient(&http.Client{Transport: transport, Timeout: 20 * time.Second}))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// putBuilds puts n builds of acme's pipeline web, a minute apart, the newest at
// noon.
func putBuilds(s *buildkiteapi.Server, n int) {
	for i := range n {
		created := noon.Add(time.Duration(i+1-n) * time.Minute)
		s.Put("acme", "web", map[string]any{"number": i + 1, "id": fmt.Sprint("build-", i+1), "created_at": created})
	}
}

func numbers(builds []buildkite.Build) []int {
	var out []int
	for _, b := range builds {
		out = append(out, b.Number)
	}
	return out
}

func status(r *buildkite.Response) int {
	if r == nil {
		return 0
	}
	return r.StatusCode
}
