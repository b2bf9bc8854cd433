package buildkiteapi

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"time"
)

// Build is a build that was created by POST.
type Build struct {
	Organization, Pipeline  string
	ID                      string
	Number                  int64
	Commit, Branch, Message string
	// Env is what was taken; MetaData what was given.
	Env, MetaData map[string]string
	Created       time.Time
}

// Posted returns the builds that were created by POST, those whose answer was
// lost too, in the order of their creation.
func (s *Server) Posted() []Build {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Build
	for _, b := range s.builds {
		if b.posted != nil {
			p := *b.posted
			p.Env, p.MetaData = maps.Clone(p.Env), maps.Clone(p.MetaData)
			out = append(out, p)
		}
	}
	return out
}

func (s *Server) createBuild(r request) answer {
	p := pipeline{r.PathValue("org"), r.PathValue("slug")}
	if a, missing := s.missing(p.organization, p.slug); missing {
		return a
	}
	var asked struct {
		Commit, Branch, Message string
		Env                     map[string]string
		MetaData                map[string]string `json:"meta_data"`
	}
	if err := json.Unmarshal(r.body, &asked); err != nil {
		return refusal(http.StatusBadRequest, err.Error())
	}
	if asked.Commit == "" || asked.Branch == "" {
		return missingFields(asked.Commit, asked.Branch)
	}
	// These are Buildkite's own to set.
	maps.DeleteFunc(asked.Env, func(name, _ string) bool { return strings.HasPrefix(name, "BUILDKITE_") })
	fields := map[string]any{
		"commit": asked.Commit, "branch": asked.Branch, "source": "api",
		"creator": map[string]any{"id": "user-1", "name": "Ada", "email": "ada@example.com"},
	}
	if asked.Message != "" {
		fields["message"] = asked.Message
	}
	if asked.Env != nil {
		fields["env"] = asked.Env
	}
	if asked.MetaData != nil {
		fields["meta_data"] = asked.MetaData
	}
	b := s.put(p, fields)
	b.posted = &Build{
		Organization: p.organization, Pipeline: p.slug, ID: b.id, Number: b.number, Commit: asked.Commit, Branch: asked.Branch,
		Message: asked.Message, Env: asked.Env, MetaData: asked.MetaData, Created: b.created,
	}
	return answer{status: http.StatusCreated, body: s.shown(b, r.URL.Query())}
}

func missingFields(commit, branch string) answer {
	var wrong []map[string]any
	for _, field := range []struct{ name, value string }{{"commit", commit}, {"branch", branch}} {
		if field.value == "" {
			wrong = append(wrong, map[string]any{"field": field.name, "code": "missing_field"})
		}
	}
	return answer{status: http.StatusUnprocessableEntity, body: map[string]any{"message": "Validation Failed", "errors": wrong}}
}
