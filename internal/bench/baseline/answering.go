package baseline

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"sync"
)

// Answering takes webhooks, answers at once, and then folds each in a goroutine
// of its own into the state under locks. GET /builds/{id} shows a build as
// build-tracker's API does. Wait returns when what was answered is folded.
type Answering struct {
	http.Handler

	folding sync.WaitGroup
}

// NewAnswering returns a handler on state that stays the caller's.
func NewAnswering(state *Locked, log *slog.Logger) *Answering {
	a := &Answering{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /buildkite", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		ctx := context.WithoutCancel(r.Context())
		a.folding.Go(func() {
			if err := state.Apply(ctx, body); err != nil {
				log.Error("an event was lost", "error", err)
			}
		})
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"status":"ok"}`+"\n")
	})
	mux.HandleFunc("GET /builds/{id}", func(w http.ResponseWriter, r *http.Request) {
		b, err := state.get(r.Context(), r.PathValue("id"))
		switch {
		case err != nil:
			http.Error(w, err.Error(), http.StatusInternalServerError)
		case b == nil:
			http.NotFound(w, r)
		default:
			w.Header().Set("Content-Type", "application/json")
			if err := json.NewEncoder(w).Encode(b.View()); err != nil {
				log.Error("a build was not shown", "error", err)
			}
		}
	})
	a.Handler = mux
	return a
}

// Wait returns when nothing is being folded; no request may come meanwhile.
func (a *Answering) Wait() { a.folding.Wait() }
