package buildkiteapi_test

import (
	"errors"
	"net/http"
	"sync"
	"testing"

	"github.com/buildkite/go-buildkite/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/internal/testenv/buildkiteapi"
)

// message returns what the API said of an error.
func message(t *testing.T, err error) string {
	t.Helper()
	refused, ok := errors.AsType[*buildkite.ErrorResponse](err)
	if !ok {
		t.Fatalf("error %v is not the API's", err)
	}
	return refused.Message
}

func TestABuildIsCreated(t *testing.T) {
	t.Parallel()
	s, _ := start(t, buildkiteapi.Options{})
	putBuilds(s, 41)
	created, r, err := client(t, s).Builds.Create(t.Context(), "acme", "web", buildkite.CreateBuild{
		Commit: "c1", Branch: "main", Message: "Deploy",
		Env:      map[string]string{"RELEASE": "7", "BUILDKITE_BRANCH": "other"},
		MetaData: map[string]string{"key": "value"},
	})
	if err != nil || status(r) != http.StatusCreated {
		t.Fatalf("status %d, %v; want 201", status(r), err)
	}
	want := []buildkiteapi.Build{{
		Organization: "acme", Pipeline: "web", ID: created.ID, Number: 42, Commit: "c1", Branch: "main", Message: "Deploy",
		Env: map[string]string{"RELEASE": "7"}, MetaData: map[string]string{"key": "value"}, Created: noon,
	}}
	if diff := cmp.Diff(want, s.Posted()); diff != "" {
		t.Errorf("posted (-want +got):\n%s", diff)
	}
	got, _, err := client(t, s).Builds.Get(t.Context(), "acme", "web", "42", nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(created, got); diff != "" {
		t.Errorf("created and shown differ (-created +shown):\n%s", diff)
	}
	if got.State != "scheduled" || got.Source != "api" || !got.CreatedAt.Equal(*buildkite.NewTimestamp(noon)) {
		t.Errorf("state %s, source %s, created at %v", got.State, got.Source, got.CreatedAt)
	}
}

func TestNumbersCountOnPerPipeline(t *testing.T) {
	t.Parallel()
	s, _ := start(t, buildkiteapi.Options{})
	putBuilds(s, 3)
	s.PutPipeline("acme", "deploy")
	var got []int
	for _, pipeline := range []string{"web", "deploy", "web"} {
		b, _, err := client(t, s).Builds.Create(t.Context(), "acme", pipeline, buildkite.CreateBuild{Commit: "c", Branch: "main"})
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, b.Number)
	}
	if diff := cmp.Diff([]int{4, 1, 5}, got); diff != "" {
		t.Errorf("numbers (-want +got):\n%s", diff)
	}
}

func TestBuildsThatAreCreatedAtOnceGetNumbersOfTheirOwn(t *testing.T) {
	t.Parallel()
	s, _ := start(t, buildkiteapi.Options{})
	s.PutPipeline("acme", "web")
	c := client(t, s)
	var creating sync.WaitGroup
	for range 10 {
		creating.Go(func() {
			if _, _, err := c.Builds.Create(t.Context(), "acme", "web", buildkite.CreateBuild{Commit: "c", Branch: "main"}); err != nil {
				t.Error(err)
			}
		})
	}
	creating.Wait()
	var got []int64
	for _, b := range s.Posted() {
		got = append(got, b.Number)
	}
	if diff := cmp.Diff([]int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, got); diff != "" {
		t.Errorf("numbers (-want +got):\n%s", diff)
	}
}

func TestABuildWithoutCommitOrBranchIsRefused(t *testing.T) {
	t.Parallel()
	s, _ := start(t, buildkiteapi.Options{})
	s.PutPipeline("acme", "web")
	for _, c := range []struct {
		b    buildkite.CreateBuild
		want string
	}{
		{buildkite.CreateBuild{Branch: "main"}, `{"errors":[{"code":"missing_field","field":"commit"}],"message":"Validation Failed"}` + "\n"},
		{buildkite.CreateBuild{Commit: "c1"}, `{"errors":[{"code":"missing_field","field":"branch"}],"message":"Validation Failed"}` + "\n"},
	} {
		_, r, err := client(t, s).Builds.Create(t.Context(), "acme", "web", c.b)
		refused, ok := errors.AsType[*buildkite.ErrorResponse](err)
		if !ok || status(r) != http.StatusUnprocessableEntity {
			t.Fatalf("%+v: status %d, %v; want 422", c.b, status(r), err)
		}
		if diff := cmp.Diff(c.want, string(refused.RawBody)); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c.b, diff)
		}
	}
	if n := len(s.Posted()); n != 0 {
		t.Errorf("%d builds were created", n)
	}
}

func TestABuildWhoseAnswerWasLostIsFoundByItsMetaData(t *testing.T) {
	t.Parallel()
	s, _ := start(t, buildkiteapi.Options{})
	putBuilds(s, 5)
	s.LoseAnswers(1)
	metaData := map[string]string{"request": "r-1"}
	b := buildkite.CreateBuild{Commit: "c1", Branch: "main", MetaData: metaData}
	if _, _, err := client(t, s).Builds.Create(t.Context(), "acme", "web", b); err == nil {
		t.Error("an answer came")
	}
	found, _, err := client(t, s).Builds.ListByPipeline(t.Context(), "acme", "web",
		&buildkite.BuildsListOptions{MetaData: buildkite.MetaDataFilters{MetaData: metaData}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{6}, numbers(found)); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
	if s.CountCalls("lost") != 1 || len(s.Posted()) != 1 {
		t.Errorf("calls %+v, posted %+v; want one lost, one posted", s.Calls(), s.Posted())
	}
}
