package buildtracker

import (
	"encoding/json"
	"net/http"
)

// problem is an error answer (RFC 9457). Detail is for people: it says what to
// do. The cause goes to the log, not to the client.
type problem struct {
	Type   string `json:"type"` // always about:blank: the status says it all
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	// Candidates are the pipelines that a bare number may mean.
	Candidates []string `json:"candidates,omitempty"`
	// First is the first seq, or of the whole stream the first position, that there is
	// of what was asked for; up to Dropped others of the stream may be missing.
	First   int64 `json:"first,omitempty"`
	Dropped int64 `json:"dropped,omitempty"`
	// Details name each dependency, and how it is.
	Details map[string]string `json:"details,omitempty"`

	cause      error
	unlogged   bool // it is asked for again and again, and logged elsewhere
	retryAfter string
}

func (p *problem) Error() string {
	if p.cause != nil {
		return p.Detail + ": " + p.cause.Error()
	}
	return p.Detail
}

// fail returns a problem with the status's own title.
func fail(status int, detail string) *problem {
	return &problem{Type: "about:blank", Status: status, Title: http.StatusText(status), Detail: detail}
}

// unavailable is a problem that goes away: the client may try again soon.
func unavailable(detail string, cause error) *problem {
	p := fail(http.StatusServiceUnavailable, detail)
	p.cause, p.retryAfter = cause, "5"
	return p
}

func (p *problem) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if p.retryAfter != "" {
		h.Set("Retry-After", p.retryAfter)
	}
	w.WriteHeader(p.Status)
	body, _ := json.Marshal(p) // plain fields marshal
	w.Write(append(body, '\n'))
}

// writeJSON answers 200 with v.
func writeJSON(w http.ResponseWriter, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Write(append(body, '\n'))
	return nil
}
