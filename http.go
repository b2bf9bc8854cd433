package buildtracker

import (
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"
)

// handler answers a request, or returns why not: a *problem as it is, any
// other error as an internal one whose cause goes to the log.
type handler func(w http.ResponseWriter, r *http.Request) error

func newHTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// handle guards h, and writes the error it returns.
func (s *Server) handle(guard func(*http.Request) *problem, h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := guard(r); p != nil {
			if p.Status == http.StatusUnauthorized {
				w.Header().Add("WWW-Authenticate", `Bearer realm="build-tracker"`)
				w.Header().Add("WWW-Authenticate", `Basic realm="build-tracker"`)
			}
			p.write(w)
			return
		}
		err := h(w, r)
		if err == nil {
			return
		}
		p := new(problem)
		if !errors.As(err, &p) {
			p = fail(http.StatusInternalServerError, "Something went wrong here. The server's log says what.")
			p.cause = err
		}
		if p.Status >= 500 && !p.unlogged && r.Context().Err() == nil {
			s.log.Warn("request failed", "path", r.URL.Path, "status", p.Status, "cause", p.cause)
		}
		p.write(w)
	})
}

// around is what every request passes: answers of the mux in our form, and a
// panic that harms one request only.
func (s *Server) around(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if r := recover(); r != nil {
				if err, ok := r.(error); ok && errors.Is(err, http.ErrAbortHandler) {
					panic(r)
				}
				s.log.Error("panic while answering", "panic", r, "stack", string(debug.Stack()))
				panic(http.ErrAbortHandler)
			}
		}()
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if _, pattern := mux.Handler(r); pattern == "" {
			s.unrouted(mux, w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// unrouted answers what no route takes.
func (s *Server) unrouted(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) {
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := mux.Handler(other); pattern != "" {
			w.Header().Set("Allow", method)
			fail(http.StatusMethodNotAllowed, "This route takes "+method+".").write(w)
			return
		}
	}
	fail(http.StatusNotFound, "There is no such route. The README lists those there are.").write(w)
}
