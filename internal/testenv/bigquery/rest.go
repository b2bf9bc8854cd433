package bigquery

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
)

// maxBody is how long a REST request may be, in bytes.
const maxBody = 4 << 20

var idCharacters = regexp.MustCompile(`^[A-Za-z0-9_]+$`)

// validID reports whether a dataset or a table can be called so.
func validID(id string) bool { return len(id) <= 1024 && idCharacters.MatchString(id) }

// apiError is a refusal as Google's clients read it.
type apiError struct {
	code            int // HTTP's
	reason, message string
}

func (e *apiError) Error() string { return e.message }

func invalid(format string, args ...any) error {
	return &apiError{http.StatusBadRequest, "invalid", fmt.Sprintf(format, args...)}
}

func notFound(what, name string) error {
	return &apiError{http.StatusNotFound, "notFound", "Not found: " + what + " " + name}
}

func duplicate(what, name string) error {
	return &apiError{http.StatusConflict, "duplicate", "Already Exists: " + what + " " + name}
}

// reasons are what a failure's status goes with.
// https://cloud.google.com/bigquery/docs/error-messages
var reasons = map[int]string{
	http.StatusBadRequest:          "invalid",
	http.StatusUnauthorized:        "authError",
	http.StatusForbidden:           "rateLimitExceeded",
	http.StatusNotFound:            "notFound",
	http.StatusConflict:            "duplicate",
	http.StatusTooManyRequests:     "rateLimitExceeded",
	http.StatusInternalServerError: "internalError",
	http.StatusBadGateway:          "backendError",
	http.StatusServiceUnavailable:  "backendError",
	http.StatusGatewayTimeout:      "backendError",
}

// handle answers one method of the API; nil is an empty answer. s.mu is held.
type handle func(r *http.Request, body []byte) (any, error)

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range map[string]handle{
		"POST /datasets":                            s.insertDataset,
		"GET /datasets/{dataset}":                   s.getDataset,
		"GET /datasets/{dataset}/tables":            s.listTables,
		"POST /datasets/{dataset}/tables":           s.insertTable,
		"GET /datasets/{dataset}/tables/{table}":    s.getTable,
		"PATCH /datasets/{dataset}/tables/{table}":  s.patchTable,
		"PUT /datasets/{dataset}/tables/{table}":    s.updateTable,
		"DELETE /datasets/{dataset}/tables/{table}": s.deleteTable,
	} {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" /bigquery/v2/projects/{project}"+path, s.serve(h))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, &apiError{http.StatusNotImplemented, "notImplemented", "This stand-in does not know " + r.Method + " " + r.URL.Path})
	})
	return mux
}

func (s *Server) serve(h handle) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer, err := s.answer(w, r, h)
		if err != nil {
			writeError(w, err)
			return
		}
		if answer == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		_ = json.NewEncoder(w).Encode(answer) // a client that left hears nothing
	}
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, h handle) (any, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, invalid("Request body cannot be read: %v", err)
	}
	if err := s.wait(r.Context()); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.faults.rest.take() {
		s.counts.FailedREST++
		code := s.faults.rest.code
		return nil, &apiError{code, reasons[code], "The request fails, as a test wants it"}
	}
	if project := r.PathValue("project"); project != s.o.Project {
		return nil, notFound("Project", project+"; this stand-in has only "+s.o.Project)
	}
	return h(r, body)
}

func writeError(w http.ResponseWriter, err error) {
	refusal, ok := errors.AsType[*apiError](err)
	if !ok {
		refusal = &apiError{http.StatusInternalServerError, "internalError", err.Error()}
	}
	type item struct {
		Domain  string `json:"domain"`
		Reason  string `json:"reason"`
		Message string `json:"message"`
	}
	var answer struct {
		Error struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
			Errors  []item `json:"errors"`
		} `json:"error"`
	}
	answer.Error.Code, answer.Error.Message = refusal.code, refusal.message
	answer.Error.Errors = []item{{"global", refusal.reason, refusal.message}}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(refusal.code)
	_ = json.NewEncoder(w).Encode(answer) // a client that left hears nothing
}

// decode reads a body, all of whose fields must be known.
func decode(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return invalid("Invalid JSON payload received, or one that this stand-in does not know: %v", err)
	}
	return nil
}
