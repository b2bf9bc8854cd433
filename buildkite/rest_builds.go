package buildkite

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// BuildsQuery selects finished builds.
type BuildsQuery struct {
	Organization string
	Pipeline     string // a slug; empty is all
	// FinishedFrom is the earliest finish, and Before the earliest creation that is
	// not wanted; zero does not restrict.
	FinishedFrom, Before time.Time
}

// BuildsPage is some builds, those that were created last first.
type BuildsPage struct {
	Builds []json.RawMessage
	// Before is the query's to go on behind this page, which may show the last of
	// its builds again.
	Before time.Time
	// Asked is when Buildkite was asked, by its own clock where it tells.
	Asked time.Time
	// Left is about how many builds come after this page.
	Left int
}

// buildsAtOnce is how many builds a page has. Large builds have megabytes of jobs:
// where a page is too large, the next have a quarter.
const buildsAtOnce = 50

// Builds calls do for each page of builds, with all attempts of their jobs, the
// first also when it is empty, and ends with do's error. A list that is too long for Buildkite to show is taken in
// parts, by the creation of its builds.
//
// Builds that begin to run again while they are listed leave the list, and what
// follows moves up: who needs each one looks again later.
func (c *REST) Builds(ctx context.Context, q BuildsQuery, do func(BuildsPage) error) error {
	l := listing{q: q, size: buildsAtOnce, page: 1}
	for {
		page, more, err := c.builds(ctx, &l)
		refused := new(RESTError)
		tooDeep := errors.As(err, &refused) && refused.Status == http.StatusBadRequest
		switch {
		case errors.Is(err, errTooLarge) && l.size > 1:
			l.size = (l.size + 3) / 4
			l.restart()
			continue
		case tooDeep && l.restart():
			continue
		case err != nil:
			return err
		}
		if err := do(page); err != nil {
			return err
		}
		if !more {
			return nil
		}
		l.page++
	}
}

// listing is where a list stands.
type listing struct {
	q          BuildsQuery
	page, size int
	// last is the creation of the last build seen.
	last time.Time
}

// restart has the list begin anew with the last build seen, and says whether that
// is further than where it began.
func (l *listing) restart() bool {
	before := l.before()
	further := !before.Equal(l.q.Before)
	l.q.Before, l.page = before, 1
	return further
}

// before is just behind the last build seen: others may have its time.
func (l *listing) before() time.Time {
	if l.last.IsZero() {
		return l.q.Before
	}
	return l.last.Add(time.Millisecond)
}

func (l *listing) path() string {
	path := "v2/organizations/" + url.PathEscape(l.q.Organization)
	if l.q.Pipeline != "" {
		path += "/pipelines/" + url.PathEscape(l.q.Pipeline)
	}
	v := url.Values{
		"include_retried_jobs": {"true"}, "page": {strconv.Itoa(l.page)}, "per_page": {strconv.Itoa(l.size)},
	}
	if !l.q.FinishedFrom.IsZero() {
		v.Set("finished_from", l.q.FinishedFrom.UTC().Format(time.RFC3339Nano))
	}
	if !l.q.Before.IsZero() {
		v.Set("created_to", l.q.Before.UTC().Format(time.RFC3339Nano))
	}
	return path + "/builds?" + v.Encode()
}

// builds returns the page at which a list stands, and whether there are more.
func (c *REST) builds(ctx context.Context, l *listing) (p BuildsPage, more bool, err error) {
	what := "the builds of " + l.q.Organization
	if l.q.Pipeline != "" {
		what += "/" + l.q.Pipeline
	}
	p.Asked = time.Now()
	answer, err := c.get(ctx, l.path(), what, &p.Builds)
	if err != nil {
		return p, false, err
	}
	if date, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
		p.Asked = date
	}
	if len(p.Builds) == 0 {
		p.Before = l.before()
		return p, false, nil
	}
	var last struct {
		CreatedAt string `json:"created_at"`
	}
	// A build without a time leaves the list where it stood.
	if json.Unmarshal(p.Builds[len(p.Builds)-1], &last) == nil {
		if at := parseTime([]byte(last.CreatedAt)); !at.IsZero() {
			l.last = at
		}
	}
	p.Before = l.before()
	p.Left = max(0, answer.LastPage-l.page) * l.size
	linked := answer.Header.Get("Link") != ""
	return p, answer.NextPage > l.page || !linked && len(p.Builds) >= l.size, nil
}
