// Package buildkiteapi stands in for Buildkite's REST API in tests: builds,
// pipelines and meta, with its paging, its limits, and faults on demand. What it
// does not know, a path or a parameter, it refuses instead of ignoring it.
//
// https://buildkite.com/docs/apis/rest-api
package buildkiteapi

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"time"
)

// Options say what a stand-in is like.
type Options struct {
	// Token is the one it takes; empty is "bkua_test".
	Token string
	// Now is its clock; nil is time.Now.
	Now func() time.Time
	// OrganizationLimit is how many requests an organization may make a minute;
	// 0 is 200, as Buildkite's, below 0 is without limit.
	OrganizationLimit int
	// UserLimit is the same for the owner of the token; 0 is 50.
	UserLimit int
	// Depth is how many builds deep a list may be paged; 0 is without limit.
	// Buildkite has one, and does not say how many.
	Depth int
}

// Server is a stand-in that listens on loopback. It is for many goroutines.
type Server struct {
	o      Options
	server *httptest.Server
	closed chan struct{} // ends slow answers
	close  sync.Once

	mu            sync.Mutex
	builds        []*build // in the order in which they were put
	pipelines     []pipeline
	lastID        int
	calls         []Call
	faults        faults
	user          window
	organizations map[string]*window
}

// pipeline names a pipeline of an organization.
type pipeline struct{ organization, slug string }

// build is a build as REST shows it. It does not change: a newer version takes
// its place.
type build struct {
	pipeline
	id       string
	number   int64
	created  time.Time
	finished time.Time // zero while it runs
	json     map[string]any
	posted   *Build // nil unless it was created by POST
}

// New starts a stand-in on a free port.
func New(o Options) (*Server, error) {
	o.Token = cmp.Or(o.Token, "bkua_test")
	o.OrganizationLimit = cmp.Or(o.OrganizationLimit, 200)
	o.UserLimit = cmp.Or(o.UserLimit, 50)
	if o.Now == nil {
		o.Now = time.Now
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for Buildkite's API: %w", err)
	}
	s := &Server{o: o, closed: make(chan struct{}), organizations: make(map[string]*window)}
	s.server = &httptest.Server{Listener: l, Config: &http.Server{Handler: s.handler()}}
	// A client silently repeats a GET when a connection that it used before is
	// cut; a fault must be seen.
	s.server.Config.SetKeepAlivesEnabled(false)
	s.server.Start()
	return s, nil
}

// Close ends it and returns when every call has ended.
func (s *Server) Close() error {
	s.close.Do(func() { close(s.closed) })
	s.server.Close()
	return nil
}

// URL is the base URL of the API, what comes before /v2.
func (s *Server) URL() string { return s.server.URL }

// Token is the token it takes.
func (s *Server) Token() string { return s.o.Token }

// PutPipeline makes a pipeline, and its organization, exist.
func (s *Server) PutPipeline(organization, slug string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.putPipeline(pipeline{organization, slug})
}

func (s *Server) putPipeline(p pipeline) {
	if !slices.Contains(s.pipelines, p) {
		s.pipelines = append(s.pipelines, p)
	}
}

// Put makes a build exist, and its pipeline. It replaces the one with its id.
// The build is an object as REST shows it, with jobs; an id, a number, URLs,
// created_at and the pipeline are filled in when they are missing. It panics for
// what is no such object.
func (s *Server) Put(organization, slug string, fields map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(pipeline{organization, slug}, fields)
}

func (s *Server) put(p pipeline, fields map[string]any) *build {
	s.putPipeline(p)
	whole := map[string]any{
		"id": s.nextID(), "number": s.nextNumber(p), "state": "scheduled", "blocked": false, "source": "webhook", "message": nil,
		"env": map[string]any{}, "meta_data": map[string]any{}, "jobs": []any{}, "pipeline": s.shownPipeline(p),
		"created_at": stamp(s.o.Now()), "started_at": nil, "finished_at": nil,
	}
	maps.Copy(whole, fields)
	var known struct {
		ID         string
		Number     int64
		CreatedAt  time.Time  `json:"created_at"`
		FinishedAt *time.Time `json:"finished_at"`
	}
	remarshal(whole, &known)
	if whole["url"] == nil {
		whole["url"] = fmt.Sprintf("%s/v2/organizations/%s/pipelines/%s/builds/%d", s.URL(), p.organization, p.slug, known.Number)
	}
	if whole["web_url"] == nil {
		whole["web_url"] = fmt.Sprintf("https://buildkite.com/%s/%s/builds/%d", p.organization, p.slug, known.Number)
	}
	b := &build{pipeline: p, id: known.ID, number: known.Number, created: known.CreatedAt}
	if known.FinishedAt != nil {
		b.finished = *known.FinishedAt
	}
	remarshal(whole, &b.json)
	i := slices.IndexFunc(s.builds, func(old *build) bool { return old.id == b.id })
	if i < 0 {
		s.builds = append(s.builds, b)
		return b
	}
	b.posted = s.builds[i].posted
	s.builds[i] = b
	return b
}

// nextNumber counts on from the pipeline's highest.
func (s *Server) nextNumber(p pipeline) int64 {
	highest := int64(0)
	for _, b := range s.builds {
		if b.pipeline == p {
			highest = max(highest, b.number)
		}
	}
	return highest + 1
}

func (s *Server) nextID() string {
	s.lastID++
	return fmt.Sprintf("00000000-0000-4000-8000-%012d", s.lastID)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// remarshal copies what JSON says of one value into another.
func remarshal(from, into any) {
	data, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		panic(fmt.Errorf("a build that is not one: %w", err))
	}
}
