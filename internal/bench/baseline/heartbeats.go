package baseline

import (
	"io"
	"net/http"
	"time"
)

// Heartbeats answers each request with a stream of server-sent events that never
// has an event: a comment at once and one every so often, until the client goes.
func Heartbeats(every time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Accel-Buffering", "no")
		h.Set("X-Content-Type-Options", "nosniff")
		control := http.NewResponseController(w)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			if _, err := io.WriteString(w, ":\n\n"); err != nil {
				return
			}
			if err := control.Flush(); err != nil {
				return
			}
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
		}
	})
}
