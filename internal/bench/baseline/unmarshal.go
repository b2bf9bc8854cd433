package baseline

import (
	"encoding/json"
	"io"
	"net/http"
)

// Unmarshal takes webhooks and keeps nothing: it reads the body, unmarshals it
// and answers.
func Unmarshal() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /buildkite", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		var payload map[string]any
		if err := json.Unmarshal(body, &payload); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"status":"ok"}`+"\n")
	})
	return mux
}
