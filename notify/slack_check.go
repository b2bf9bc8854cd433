package notify

import (
	"context"
	"net/http"
	"slices"
	"strings"
)

// Check asks Slack who the token belongs to and logs once, in one sentence,
// which scopes the app lacks. The error is an *Error.
func (s *Slack) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	var t trace
	answer, err := s.api.AuthTestContext(t.context(ctx))
	if err != nil {
		return classify("auth.test", err, t.sent())
	}
	missing, known := missingScopes(answer.Header)
	if !known || len(missing) == 0 {
		s.log.InfoContext(ctx, "connected to Slack", "team", answer.Team, "user", answer.User)
		return nil
	}
	s.setDeaf(slices.Contains(missing, scopeHistory) || slices.Contains(missing, scopeMetadata))
	s.log.WarnContext(ctx, "the Slack app lacks scopes: chat:write sends notices, users:read.email mentions authors, "+
		"channels:history and metadata.message:read keep a message whose answer was lost from being sent twice",
		"missing", strings.Join(missing, ", "), "team", answer.Team, "user", answer.User)
	return nil
}

const (
	scopeHistory  = "channels:history"
	scopeMetadata = "metadata.message:read"
)

// missingScopes reads the header in which Slack lists what a token may do. It
// is known only when that header is there.
func missingScopes(h http.Header) (missing []string, known bool) {
	header := h.Get("X-OAuth-Scopes")
	if header == "" {
		return nil, false
	}
	have := make(map[string]bool)
	for scope := range strings.SplitSeq(header, ",") {
		have[strings.TrimSpace(scope)] = true
	}
	// A private channel is read with a scope of its own.
	have[scopeHistory] = have[scopeHistory] || have["groups:history"]
	for _, scope := range []string{"chat:write", "users:read.email", scopeHistory, scopeMetadata} {
		if !have[scope] {
			missing = append(missing, scope)
		}
	}
	return missing, true
}

func (s *Slack) setDeaf(deaf bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deaf = deaf
}

func (s *Slack) isDeaf() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.deaf
}
