package buildkiteapi

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (s *Server) listBuilds(r request) answer {
	organization, slug := r.PathValue("org"), r.PathValue("slug")
	if a, missing := s.missing(organization, slug); missing {
		return a
	}
	q := r.URL.Query()
	f, err := newFilter(q)
	if err != nil {
		return refusal(http.StatusBadRequest, err.Error())
	}
	var found []*build // newest first
	for _, b := range slices.Backward(s.builds) {
		if b.organization == organization && (slug == "" || b.slug == slug) && f.match(b, s.faults.skew) {
			found = append(found, b)
		}
	}
	slices.SortStableFunc(found, func(x, y *build) int { return y.created.Compare(x.created) })
	p := pageOf(q)
	if s.o.Depth > 0 && p.number*p.size > s.o.Depth {
		return refusal(http.StatusBadRequest, "Listing builds this deep is not supported. Please narrow your query using filters such as branch or created_from.")
	}
	from, to := p.bounds(len(found))
	shown := []any{}
	for _, b := range found[from:to] {
		shown = append(shown, s.shown(b, q))
	}
	return answer{status: http.StatusOK, link: p.link(s.URL(), r.URL, len(found)), body: shown}
}

func (s *Server) getBuild(r request) answer {
	p := pipeline{r.PathValue("org"), r.PathValue("slug")}
	if a, missing := s.missing(p.organization, p.slug); missing {
		return a
	}
	number, err := strconv.ParseInt(r.PathValue("number"), 10, 64)
	for _, b := range s.builds {
		if err == nil && b.pipeline == p && b.number == number {
			return answer{status: http.StatusOK, body: s.shown(b, r.URL.Query())}
		}
	}
	return refusal(http.StatusNotFound, "No build found")
}

// missing says whether an organization, or its pipeline unless that is empty, is
// not there.
func (s *Server) missing(organization, slug string) (answer, bool) {
	if !slices.ContainsFunc(s.pipelines, func(p pipeline) bool { return p.organization == organization }) {
		return refusal(http.StatusNotFound, "No organization found"), true
	}
	if slug != "" && !slices.Contains(s.pipelines, pipeline{organization, slug}) {
		return refusal(http.StatusNotFound, "No pipeline found"), true
	}
	return answer{}, false
}

func (s *Server) listPipelines(r request) answer {
	organization := r.PathValue("org")
	if a, missing := s.missing(organization, ""); missing {
		return a
	}
	var found []pipeline
	for _, p := range s.pipelines {
		if p.organization == organization {
			found = append(found, p)
		}
	}
	slices.SortFunc(found, func(x, y pipeline) int { return cmp.Compare(x.slug, y.slug) })
	p := pageOf(r.URL.Query())
	from, to := p.bounds(len(found))
	shown := []any{}
	for _, f := range found[from:to] {
		shown = append(shown, s.shownPipeline(f))
	}
	return answer{status: http.StatusOK, link: p.link(s.URL(), r.URL, len(found)), body: shown}
}

func (s *Server) shownPipeline(p pipeline) map[string]any {
	url := s.URL() + "/v2/organizations/" + p.organization + "/pipelines/" + p.slug
	return map[string]any{
		"id": "pipeline-" + p.slug, "slug": p.slug, "name": p.slug, "default_branch": "main",
		"url": url, "builds_url": url + "/builds", "web_url": "https://buildkite.com/" + p.organization + "/" + p.slug,
	}
}

// shown returns a build as the parameters of a request ask for it.
func (s *Server) shown(b *build, q url.Values) any {
	shown := shifted(b.json, s.faults.skew).(map[string]any)
	if jobs, ok := shown["jobs"].([]any); ok && q.Get("include_retried_jobs") != "true" {
		shown["jobs"] = slices.DeleteFunc(jobs, func(job any) bool {
			j, ok := job.(map[string]any)
			return ok && j["retried"] == true
		})
	}
	if q.Get("exclude_jobs") == "true" {
		delete(shown, "jobs")
	}
	if q.Get("exclude_pipeline") == "true" {
		delete(shown, "pipeline")
	}
	return shown
}

// shifted returns a deep copy of a JSON value in which every time under a name
// that ends in _at is later by a duration.
func shifted(value any, by time.Duration) any {
	switch v := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, field := range v {
			out[name] = shifted(field, by)
			text, ok := field.(string)
			if t, err := time.Parse(time.RFC3339Nano, text); ok && err == nil && strings.HasSuffix(name, "_at") {
				out[name] = stamp(t.Add(by))
			}
		}
		return out
	case []any:
		out := make([]any, 0, len(v))
		for _, item := range v {
			out = append(out, shifted(item, by))
		}
		return out
	}
	return value
}
