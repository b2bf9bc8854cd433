package buildkiteapi

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"
)

// window counts the requests of a minute, which begins with the first.
type window struct {
	began time.Time
	used  int
}

// quota is what a limit is at one moment.
type quota struct {
	prefix string // of its headers
	scope  string
	limit  int // below 0 is none
	used   int
	reset  int // seconds until the next minute begins
}

func (w *window) take(now time.Time) (used, reset int) {
	if !now.Before(w.began.Add(time.Minute)) {
		*w = window{began: now}
	}
	w.used++
	return w.used, int(math.Ceil(w.began.Add(time.Minute).Sub(now).Seconds()))
}

// limit counts a request against the limits of the organization and of the
// token's owner and sets the headers of both. It returns a refusal when either is
// exceeded, else nothing. What is refused counts too.
// https://buildkite.com/docs/apis/rest-api/rate-limits
func (s *Server) limit(h http.Header, organization string) (refused answer) {
	now := s.o.Now()
	user := quota{prefix: "RateLimit-User-", scope: "rest_user", limit: s.o.UserLimit}
	user.used, user.reset = s.user.take(now)
	quotas := []quota{user}
	if organization != "" {
		if s.organizations[organization] == nil {
			s.organizations[organization] = &window{}
		}
		q := quota{prefix: "RateLimit-", scope: "rest", limit: s.o.OrganizationLimit}
		q.used, q.reset = s.organizations[organization].take(now)
		quotas = append(quotas, q)
	}
	for _, q := range quotas {
		if q.limit < 0 {
			continue
		}
		h.Set(q.prefix+"Scope", q.scope)
		h.Set(q.prefix+"Limit", strconv.Itoa(q.limit))
		h.Set(q.prefix+"Remaining", strconv.Itoa(max(q.limit-q.used, 0)))
		h.Set(q.prefix+"Reset", strconv.Itoa(q.reset))
		if q.used > q.limit && refused.status == 0 {
			refused = q.refusal()
		}
	}
	return refused
}

func (q quota) refusal() answer {
	return answer{status: http.StatusTooManyRequests, body: map[string]any{
		"message": fmt.Sprintf("You have exceeded your API rate limit. Please wait %d seconds before making more requests.", q.reset),
		"scope":   q.scope, "limit": q.limit, "current": q.used, "reset": q.reset,
	}}
}
