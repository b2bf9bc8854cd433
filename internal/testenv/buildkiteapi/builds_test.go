package buildkiteapi_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/buildkite/go-buildkite/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/internal/testenv/buildkiteapi"
)

func TestBuildsAreListedNewestFirstInPages(t *testing.T) {
	t.Parallel()
	s, _ := start(t, buildkiteapi.Options{})
	putBuilds(s, 250)
	var got []int
	var links [][4]int // first, prev, next, last
	o := &buildkite.BuildsListOptions{ListOptions: buildkite.ListOptions{Page: 1, PerPage: 1000}}
	for o.Page > 0 {
		page, r, err := client(t, s).Builds.ListByOrg(t.Context(), "acme", o)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, numbers(page)...)
		links = append(links, [4]int{r.FirstPage, r.PrevPage, r.NextPage, r.LastPage})
		o.Page = r.NextPage
	}
	var want []int
	for n := 250; n > 0; n-- {
		want = append(want, n)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("builds (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([][4]int{{0, 0, 2, 3}, {1, 1, 3, 3}, {1, 2, 0, 0}}, links); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
}

func TestAPageHas30BuildsUnlessAskedOtherwise(t *testing.T) {
	t.Parallel()
	s, _ := start(t, buildkiteapi.Options{})
	putBuilds(s, 31)
	page, _, err := client(t, s).Builds.ListByPipeline(t.Context(), "acme", "web", nil)
	if err != nil || len(page) != 30 {
		t.Errorf("%d builds, %v; want 30", len(page), err)
	}
}

func TestLinksKeepTheParametersOfTheList(t *testing.T) {
	t.Parallel()
	s, _ := start(t, buildkiteapi.Options{})
	putBuilds(s, 3)
	_, r, err := client(t, s).Builds.ListByPipeline(t.Context(), "acme", "web",
		&buildkite.BuildsListOptions{State: []string{"scheduled"}, ListOptions: buildkite.ListOptions{Page: 2, PerPage: 1}})
	if err != nil {
		t.Fatal(err)
	}
	at := "<" + s.URL() + "/v2/organizations/acme/pipelines/web/builds?"
	want := at + `page=1&per_page=1&state%5B%5D=scheduled>; rel="first", ` + at + `page=1&per_page=1&state%5B%5D=scheduled>; rel="prev", ` +
		at + `page=3&per_page=1&state%5B%5D=scheduled>; rel="next", ` + at + `page=3&per_page=1&state%5B%5D=scheduled>; rel="last"`
	if diff := cmp.Diff(want, r.Header.Get("Link")); diff != "" {
		t.Errorf("Link (-want +got):\n%s", diff)
	}
}

func TestABuildAddedBetweenTwoPagesShiftsTheSecond(t *testing.T) {
	t.Parallel()
	s, _ := start(t, buildkiteapi.Options{})
	putBuilds(s, 4)
	list := func(page int) []int {
		builds, _, err := client(t, s).Builds.ListByOrg(t.Context(), "acme",
			&buildkite.BuildsListOptions{ListOptions: buildkite.ListOptions{Page: page, PerPage: 2}})
		if err != nil {
			t.Fatal(err)
		}
		return numbers(builds)
	}
	first := list(1)
	s.Put("acme", "web", map[string]any{"number": 5})
	if diff := cmp.Diff([][]int{{4, 3}, {3, 2}}, [][]int{first, list(2)}); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
}

func TestListsAreFiltered(t *testing.T) {
	t.Parallel()
	s, _ := start(t, buildkiteapi.Options{})
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	for _, b := range []map[string]any{
		{"created_at": at(1), "state": "passed", "branch": "main", "commit": "c1", "finished_at": at(9)},
		{"created_at": at(2), "state": "failed", "branch": "main", "commit": "c2", "finished_at": at(3)},
		{"created_at": at(3), "state": "running", "branch": "next", "commit": "c2", "meta_data": map[string]string{"key": "one"}},
		{"created_at": at(4), "state": "passed", "blocked": true, "branch": "last", "commit": "c4", "meta_data": map[string]string{"key": "two"}},
	} {
		s.Put("acme", "web", b)
	}
	s.Put("acme", "api", map[string]any{"number": 7, "created_at": at(0)})
	s.Put("other", "web", map[string]any{"number": 8})
	for _, c := range []struct {
		name string
		o    buildkite.BuildsListOptions
		want []int
	}{
		{"nothing", buildkite.BuildsListOptions{}, []int{4, 3, 2, 1, 7}},
		{"created from", buildkite.BuildsListOptions{CreatedFrom: at(3)}, []int{4, 3}},
		{"created to, which is not in it", buildkite.BuildsListOptions{CreatedTo: at(2)}, []int{1, 7}},
		{"finished from, whatever was created when", buildkite.BuildsListOptions{FinishedFrom: at(9)}, []int{1}},
		{"a state", buildkite.BuildsListOptions{State: []string{"running"}}, []int{3}},
		{"states", buildkite.BuildsListOptions{State: []string{"running", "failed"}}, []int{3, 2}},
		{"the finished", buildkite.BuildsListOptions{State: []string{"finished"}}, []int{4, 2, 1}},
		{"the blocked", buildkite.BuildsListOptions{State: []string{"blocked"}}, []int{4}},
		{"branches", buildkite.BuildsListOptions{Branch: []string{"next", "last"}}, []int{4, 3}},
		{"a commit", buildkite.BuildsListOptions{Commit: "c2"}, []int{3, 2}},
		{"meta-data", buildkite.BuildsListOptions{MetaData: buildkite.MetaDataFilters{MetaData: map[string]string{"key": "one"}}}, []int{3}},
		{"all at once", buildkite.BuildsListOptions{State: []string{"passed"}, Branch: []string{"main"}, CreatedFrom: at(1)}, []int{1}},
	} {
		builds, _, err := client(t, s).Builds.ListByOrg(t.Context(), "acme", &c.o)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff(c.want, numbers(builds)); diff != "" {
			t.Errorf("filtered by %s (-want +got):\n%s", c.name, diff)
		}
	}
	if builds, _, err := client(t, s).Builds.ListByPipeline(t.Context(), "acme", "api", nil); err != nil || len(builds) != 1 {
		t.Errorf("pipeline api has %d builds, %v; want 1", len(builds), err)
	}
}

func TestParametersThatAreNotKnownAreRefused(t *testing.T) {
	t.Parallel()
	s, _ := start(t, buildkiteapi.Options{})
	putBuilds(s, 1)
	_, r, err := client(t, s).Builds.ListByOrg(t.Context(), "acme", &buildkite.BuildsListOptions{Creator: "ada"})
	if err == nil || status(r) != http.StatusBadRequest {
		t.Errorf("status %d, %v; want 400", status(r), err)
	}
}

func TestListsEndAtADepth(t *testing.T) {
	t.Parallel()
	s, _ := start(t, buildkiteapi.Options{Depth: 60})
	putBuilds(s, 100)
	for page, want := range map[int]int{2: http.StatusOK, 3: http.StatusBadRequest} {
		_, r, _ := client(t, s).Builds.ListByOrg(t.Context(), "acme", &buildkite.BuildsListOptions{ListOptions: buildkite.ListOptions{Page: page}})
		if status(r) != want {
			t.Errorf("page %d: status %d, want %d", page, status(r), want)
		}
	}
}

func TestJobsThatWereRetriedAreShownWhenAskedFor(t *testing.T) {
	t.Parallel()
	s, _ := start(t, buildkiteapi.Options{})
	s.Put("acme", "web", map[string]any{"number": 1, "jobs": []map[string]any{
		{"id": "first", "state": "failed", "retried": true, "retried_in_job_id": "second"},
		{"id": "second", "state": "passed"},
	}})
	for _, c := range []struct {
		name string
		o    buildkite.BuildsListOptions
		want []string
	}{
		{"by default", buildkite.BuildsListOptions{}, []string{"second"}},
		{"with retried", buildkite.BuildsListOptions{IncludeRetriedJobs: true}, []string{"first", "second"}},
		{"without jobs", buildkite.BuildsListOptions{ExcludeJobs: true}, nil},
	} {
		list, _, err := client(t, s).Builds.ListByPipeline(t.Context(), "acme", "web", &c.o)
		if err != nil || len(list) != 1 {
			t.Fatalf("%s: %d builds, %v", c.name, len(list), err)
		}
		one, _, err := client(t, s).Builds.Get(t.Context(), "acme", "web", "1", &buildkite.BuildGetOptions{BuildsListOptions: c.o})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff([][]string{c.want, c.want}, [][]string{jobIDs(list[0]), jobIDs(one)}); diff != "" {
			t.Errorf("%s, list and build (-want +got):\n%s", c.name, diff)
		}
	}
}

func jobIDs(b buildkite.Build) []string {
	var out []string
	for _, j := range b.Jobs {
		out = append(out, j.ID)
	}
	return out
}

func TestABuildIsReplacedByItsID(t *testing.T) {
	t.Parallel()
	s, _ := start(t, buildkiteapi.Options{})
	s.Put("acme", "web", map[string]any{"id": "a", "number": 1, "state": "running"})
	s.Put("acme", "web", map[string]any{"id": "a", "number": 1, "state": "passed"})
	builds, _, err := client(t, s).Builds.ListByOrg(t.Context(), "acme", nil)
	if err != nil || len(builds) != 1 || builds[0].State != "passed" {
		t.Errorf("%+v, %v; want one build that passed", builds, err)
	}
}

func TestPipelinesAndWebhookAddressesAreListed(t *testing.T) {
	t.Parallel()
	s, _ := start(t, buildkiteapi.Options{})
	putBuilds(s, 1)
	s.PutPipeline("acme", "api")
	s.PutPipeline("other", "web")
	pipelines, _, err := client(t, s).Pipelines.List(t.Context(), "acme", nil)
	if err != nil || len(pipelines) != 2 || pipelines[0].Slug != "api" || pipelines[1].Slug != "web" {
		t.Errorf("pipelines %+v, %v; want api and web", pipelines, err)
	}
	meta, _, err := client(t, s).Meta.Get(t.Context())
	if err != nil || len(meta.WebhookIPs) == 0 {
		t.Errorf("meta %+v, %v; want addresses", meta, err)
	}
}

func TestWhatIsNotThereIsNotFound(t *testing.T) {
	t.Parallel()
	s, _ := start(t, buildkiteapi.Options{})
	putBuilds(s, 1)
	for _, c := range []struct{ organization, pipeline, number, want string }{
		{"nobody", "web", "1", "No organization found"},
		{"acme", "none", "1", "No pipeline found"},
		{"acme", "web", "2", "No build found"},
		{"acme", "web", "x", "No build found"},
	} {
		_, r, err := client(t, s).Builds.Get(t.Context(), c.organization, c.pipeline, c.number, nil)
		if got := message(t, err); status(r) != http.StatusNotFound || got != c.want {
			t.Errorf("%v: status %d, %q", c, status(r), got)
		}
	}
}

func TestAnotherTokenIsRefused(t *testing.T) {
	t.Parallel()
	s, _ := start(t, buildkiteapi.Options{Token: "right"})
	putBuilds(s, 1)
	for _, token := range []string{"wrong", ""} {
		_, r, err := clientOver(t, s, token, http.DefaultTransport).Builds.ListByOrg(t.Context(), "acme", nil)
		if err == nil || status(r) != http.StatusUnauthorized {
			t.Errorf("token %q: status %d, %v; want 401", token, status(r), err)
		}
	}
	if n := s.CountCalls("401"); n != 2 {
		t.Errorf("%d calls were counted as 401, want 2", n)
	}
}
