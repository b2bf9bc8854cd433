package buildkite

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	api "github.com/buildkite/go-buildkite/v4"

	"github.com/build-tracker/build-tracker/build"
)

// Creator creates builds. It asks at the pace that Buildkite allows, waits when a
// limit is reached, and repeats nothing else: Buildkite cannot tell two requests for a
// build from one that is repeated. It may be used from any goroutine.
type Creator struct {
	client *api.Client
}

// NewBuild is a build that is to be created.
type NewBuild struct {
	Organization, Pipeline  string
	Branch, Commit, Message string
	Env, MetaData           map[string]string
}

// NewCreator returns a Creator; nothing is asked yet.
func NewCreator(o RESTOptions) (*Creator, error) {
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	if o.Answered == nil {
		o.Answered = func(string) {}
	}
	client, err := api.NewClient(
		api.WithHTTPClient(&http.Client{
			Transport: &paced{limited{next: createdIsOK{o.Transport}, answered: o.Answered}},
			// A redirect would carry the token elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}),
		api.WithBaseURL(strings.TrimSuffix(o.URL, "/")+"/"),
		api.WithTokenAuth(o.Token),
		api.WithUserAgent(o.UserAgent),
	)
	if err != nil {
		return nil, fmt.Errorf("reach Buildkite's API: %w", err)
	}
	return &Creator{client: client}, nil
}

// Create creates a build and returns its number. When the error is no *RESTError,
// and when it is one of 5xx, Buildkite may have created it all the same.
func (c *Creator) Create(ctx context.Context, b NewBuild) (number int64, err error) {
	created, _, err := c.client.Builds.Create(ctx, b.Organization, b.Pipeline, api.CreateBuild{
		Branch: b.Branch, Commit: b.Commit, Message: b.Message, Env: b.Env, MetaData: b.MetaData,
		// The pipeline was named to be built, whatever branches it builds by itself.
		IgnorePipelineBranchFilters: true,
	})
	if err != nil {
		return 0, refusalOf(err, "create a build of %s/%s", b.Organization, b.Pipeline)
	}
	return int64(created.Number), nil
}

// Find returns the number of a build of a pipeline with this meta-data; 0 for none.
func (c *Creator) Find(ctx context.Context, organization, pipeline string, metaData map[string]string) (number int64, err error) {
	found, _, err := c.client.Builds.ListByPipeline(ctx, organization, pipeline, &api.BuildsListOptions{
		MetaData: api.MetaDataFilters{MetaData: metaData}, ExcludeJobs: true, ExcludePipeline: true,
		ListOptions: api.ListOptions{PerPage: 1},
	})
	if err != nil {
		return 0, refusalOf(err, "look for a build of %s/%s", organization, pipeline)
	}
	if len(found) == 0 {
		return 0, nil
	}
	return int64(found[0].Number), nil
}

// Origin returns what triggered a build; the zero Origin for a build that nothing
// did, or that Buildkite does not show.
func (c *Creator) Origin(ctx context.Context, organization, pipeline string, number int64) (build.Origin, error) {
	shown, _, err := c.client.Builds.Get(ctx, organization, pipeline, strconv.FormatInt(number, 10), &api.BuildGetOptions{
		BuildsListOptions: api.BuildsListOptions{ExcludeJobs: true, ExcludePipeline: true},
	})
	refused := new(RESTError)
	if errors.As(err, &refused) && refused.Status == http.StatusNotFound {
		return build.Origin{}, nil
	}
	if err != nil {
		return build.Origin{}, refusalOf(err, "ask for build %d of %s/%s", number, organization, pipeline)
	}
	if shown.TriggeredFrom == nil {
		return build.Origin{}, nil
	}
	from := shown.TriggeredFrom
	return build.Origin{BuildID: from.BuildID, Number: int64(from.BuildNumber), Pipeline: from.BuildPipelineSlug}, nil
}

// refusalOf returns an error without the URL, which http adds.
func refusalOf(err error, format string, args ...any) error {
	refused := new(RESTError)
	if errors.As(err, &refused) {
		err = refused
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}

// paced makes requests at a pace, each once: again only when it was over a limit,
// and had no effect. What is refused it returns as a *RESTError.
type paced struct{ limited }

func (p *paced) RoundTrip(r *http.Request) (*http.Response, error) {
	for over := 1; ; over++ {
		if err := p.pace.wait(r.Context()); err != nil {
			return nil, err
		}
		res, err := p.once(r)
		refused := new(RESTError)
		if !errors.As(err, &refused) || refused.Status != http.StatusTooManyRequests || over == limitTries {
			return res, err
		}
		if r = r.Clone(r.Context()); r.GetBody != nil {
			if r.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

// createdIsOK shows an answer that something was created as one that all is well:
// limited is for questions.
type createdIsOK struct{ next http.RoundTripper }

func (c createdIsOK) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := c.next.RoundTrip(r)
	if err == nil && res.StatusCode == http.StatusCreated {
		res.StatusCode = http.StatusOK
	}
	return res, err
}
