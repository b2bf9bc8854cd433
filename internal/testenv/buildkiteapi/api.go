package buildkiteapi

import (
	"crypto/subtle"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Call is one request.
type Call struct {
	Method string
	// Target is the path with its query.
	Target string
	Time   time.Time
	// Result is the status, or "cut" or "lost" when no answer was given.
	Result string
}

// Calls returns every request so far, those without an answer too.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// CountCalls returns how many requests ended so: a status, "cut" or "lost".
func (s *Server) CountCalls(result string) int {
	n := 0
	for _, c := range s.Calls() {
		if c.Result == result {
			n++
		}
	}
	return n
}

// answer is what an endpoint returns.
type answer struct {
	status int
	link   string // the Link header; empty for none
	body   any
}

func refusal(status int, message string) answer {
	return answer{status: status, body: map[string]any{"message": message}}
}

// endpoint answers a request; s.mu is held.
type endpoint func(request) answer

type request struct {
	*http.Request
	body     []byte
	endpoint endpoint
}

const maxBody = 1 << 20

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, e := range map[string]endpoint{
		"GET /v2/meta":                                                 s.meta,
		"GET /v2/organizations/{org}/pipelines":                        s.listPipelines,
		"GET /v2/organizations/{org}/builds":                           s.listBuilds,
		"GET /v2/organizations/{org}/pipelines/{slug}/builds":          s.listBuilds,
		"POST /v2/organizations/{org}/pipelines/{slug}/builds":         s.createBuild,
		"GET /v2/organizations/{org}/pipelines/{slug}/builds/{number}": s.getBuild,
		"/": func(request) answer { return refusal(http.StatusNotFound, "Not Found") },
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, e) })
	}
	return mux
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, e endpoint) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	call := Call{Method: r.Method, Target: r.URL.RequestURI(), Time: s.o.Now()}
	s.delay(r, call)
	a, given := s.decide(w.Header(), request{r, body, e}, call)
	if !given {
		panic(http.ErrAbortHandler)
	}
	if a.link != "" {
		w.Header().Set("Link", a.link)
	}
	if page, ok := a.body.(string); ok { // from in front of the API
		http.Error(w, page, a.status)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(a.status)
	_ = json.NewEncoder(w).Encode(a.body) // a client that left hears nothing
}

// decide lets a request take effect at one moment. It says whether an answer is
// given, and adds the headers that every answer has.
func (s *Server) decide(h http.Header, r request, call Call) (a answer, given bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.calls = append(s.calls, call) }()
	if spend(&s.faults.cut) {
		call.Result = "cut"
		return answer{}, false
	}
	h.Set("Date", s.o.Now().Add(s.faults.skew).UTC().Format(http.TimeFormat))
	switch {
	case spend(&s.faults.failures):
		a = answer{status: s.faults.status, body: "out of order"}
	case !s.authentic(r):
		a = refusal(http.StatusUnauthorized, "Authentication required. Please supply a valid API Access Token")
	default:
		if a = s.limit(h, r.PathValue("org")); a.status == 0 {
			a = r.endpoint(r)
		}
	}
	if a.status == http.StatusCreated && spend(&s.faults.lost) {
		call.Result = "lost"
		return answer{}, false
	}
	call.Result = strconv.Itoa(a.status)
	return a, true
}

func (s *Server) authentic(r request) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return ok && subtle.ConstantTimeCompare([]byte(token), []byte(s.o.Token)) == 1
}

// meta names where webhooks come from: addresses that are for documentation.
func (s *Server) meta(request) answer {
	return answer{status: http.StatusOK, body: map[string]any{"webhook_ips": []string{"192.0.2.0/24", "198.51.100.7"}}}
}
