package testenv

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// SlackOptions says what workspace a stand-in for Slack is.
type SlackOptions struct {
	// Token is the one it takes; empty is "xoxb-test".
	Token string
	// Scopes are the token's; nil is all that a build tracker asks for.
	Scopes []string
	// Channels are ids by name; nil is "builds" with id "C0BUILDS01".
	Channels map[string]string
	// Users are ids by email address.
	Users map[string]string
	// Interval is how often a channel takes a message beyond Burst, and an edit
	// likewise; 0 is 1 s, as Slack does.
	Interval time.Duration
	// Burst is how many it takes at once; 0 is 100, below 0 is without limit.
	Burst int
}

// SlackScopes are what a build tracker's app asks for.
func SlackScopes() []string {
	return []string{"chat:write", "users:read", "users:read.email", "channels:read", "channels:history", "metadata.message:read"}
}

// Slack stands in for Slack's Web API, limits included. It is for many
// goroutines.
type Slack struct {
	o      SlackOptions
	server *httptest.Server // nil for a handler alone

	mu       sync.Mutex
	changed  chan struct{} // closed at every change
	messages []*SlackMessage
	calls    []SlackCall
	lastTS   time.Time
	buckets  map[string]*slackBucket
	faults   slackFaults
}

// SlackMessage is a message as a channel shows it.
type SlackMessage struct {
	Channel  string
	TS       string
	Text     string
	Blocks   json.RawMessage // "[]" for none
	Metadata SlackMetadata
	// Versions are what it said, the latest last; Edits is one less.
	Versions []SlackVersion
	Edits    int
}

// SlackVersion is what a message said from a time on.
type SlackVersion struct {
	Time   time.Time
	Text   string
	Blocks json.RawMessage
}

// SlackMetadata is a message's metadata.
type SlackMetadata struct {
	EventType    string         `json:"event_type"`
	EventPayload map[string]any `json:"event_payload"`
}

// SlackCall is one call of a method.
type SlackCall struct {
	Method  string
	Channel string
	Time    time.Time
	// Result is "ok", Slack's error code, "ratelimited", "down" or "lost".
	Result string
}

// NewSlack starts a stand-in on a free port. It ends with the test.
func NewSlack(t testing.TB, o SlackOptions) *Slack {
	t.Helper()
	s := NewSlackHandler(o)
	s.server = httptest.NewServer(s.Handler())
	t.Cleanup(s.server.Close)
	return s
}

// NewSlackHandler returns a stand-in that listens nowhere: serve its Handler, or
// call it through a PipeClient.
func NewSlackHandler(o SlackOptions) *Slack {
	o.Token = cmp.Or(o.Token, "xoxb-test")
	o.Interval = cmp.Or(o.Interval, time.Second)
	o.Burst = cmp.Or(o.Burst, 100)
	if o.Scopes == nil {
		o.Scopes = SlackScopes()
	}
	if o.Channels == nil {
		o.Channels = map[string]string{"builds": "C0BUILDS01"}
	}
	return &Slack{o: o, changed: make(chan struct{}), buckets: make(map[string]*slackBucket)}
}

// URL is the base URL of the API; it ends in /api/.
func (s *Slack) URL() string {
	if s.server == nil {
		return "http://slack.test/api/"
	}
	return s.server.URL + "/api/"
}

// Token is the token it takes.
func (s *Slack) Token() string { return s.o.Token }

// Handler answers the calls of the API under /api/.
func (s *Slack) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// Messages returns what the channels show, in the order in which it was posted.
func (s *Slack) Messages() []SlackMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list()
}

func (s *Slack) list() []SlackMessage {
	out := make([]SlackMessage, 0, len(s.messages))
	for _, m := range s.messages {
		c := *m
		c.Versions = slices.Clone(m.Versions)
		c.Metadata.EventPayload = maps.Clone(m.Metadata.EventPayload)
		out = append(out, c)
	}
	return out
}

// Calls returns every call so far, those without an answer too.
func (s *Slack) Calls() []SlackCall {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// CountCalls returns how many calls of a method ended so; an empty result
// counts all.
func (s *Slack) CountCalls(method, result string) int {
	n := 0
	for _, c := range s.Calls() {
		if c.Method == method && (result == "" || c.Result == result) {
			n++
		}
	}
	return n
}

// Deleted returns how many messages were deleted through the API.
func (s *Slack) Deleted() int { return s.CountCalls("chat.delete", "ok") }

// Remove takes a message away, as a person does.
func (s *Slack) Remove(channel, ts string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(channel, ts)
	s.notify()
}

// slackPatience is how long WaitFor waits.
const slackPatience = 20 * time.Second

// WaitFor waits until cond holds for the messages, and fails the test when it
// does not in 20 s. It looks after every call of the API.
func (s *Slack) WaitFor(t testing.TB, cond func([]SlackMessage) bool) {
	t.Helper()
	timeout := time.NewTimer(slackPatience)
	defer timeout.Stop()
	for {
		s.mu.Lock()
		messages, changed := s.list(), s.changed
		s.mu.Unlock()
		if cond(messages) {
			return
		}
		select {
		case <-changed:
		case <-timeout.C:
			t.Fatalf("Slack does not show what is waited for after %v:\n%s", slackPatience, s.dump())
		}
	}
}

func (s *Slack) dump() string {
	var out strings.Builder
	for _, m := range s.Messages() {
		fmt.Fprintf(&out, "%s %s: %q, %d edits\n", m.Channel, m.TS, m.Text, m.Edits)
	}
	for _, c := range s.Calls() {
		fmt.Fprintf(&out, "%s %s %s: %s\n", c.Time.Format(time.StampMilli), c.Method, c.Channel, c.Result)
	}
	return out.String()
}

// notify wakes those who wait; s.mu is held.
func (s *Slack) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}
