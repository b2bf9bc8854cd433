package testenv

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// slackAnswer is what a method returns: a JSON object with ok and perhaps error.
type slackAnswer map[string]any

func slackRefusal(code string) slackAnswer { return slackAnswer{"ok": false, "error": code} }

func (a slackAnswer) result() string {
	if code, ok := a["error"].(string); ok {
		return code
	}
	return "ok"
}

const maxSlackBody = 1 << 20

func (s *Slack) serve(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxSlackBody)
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	method := strings.TrimPrefix(r.URL.Path, "/api/")
	call := SlackCall{Method: method, Channel: r.Form.Get("channel"), Time: time.Now()}
	s.mu.Lock()
	faults := s.faults
	s.mu.Unlock()
	if faults.before != nil {
		faults.before(call)
	}
	if faults.latency > 0 {
		late := time.NewTimer(faults.latency)
		defer late.Stop()
		select {
		case <-r.Context().Done():
		case <-late.C:
		}
	}
	s.answer(w, r, call)
}

// answer decides and takes effect at one moment, then writes.
func (s *Slack) answer(w http.ResponseWriter, r *http.Request, call SlackCall) {
	s.mu.Lock()
	defer s.mu.Unlock()
	end := func(result string) {
		call.Result = result
		s.calls = append(s.calls, call)
		s.notify()
	}
	writes := call.Method == "chat.postMessage" || call.Method == "chat.update"
	switch {
	case s.faults.down == SlackCutting || s.faults.down == SlackRefusing:
		end("down")
		panic(http.ErrAbortHandler)
	case s.faults.down == SlackUnavailable:
		end("down")
		http.Error(w, "out of order", http.StatusServiceUnavailable)
		return
	case writes && s.authentic(r):
		if wait := s.limited(call); wait > 0 {
			end("ratelimited")
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
			http.Error(w, `{"ok":false,"error":"ratelimited"}`, http.StatusTooManyRequests)
			return
		}
	}
	a := s.call(r, call.Method)
	if writes && a.result() == "ok" && s.faults.lose > 0 {
		s.faults.lose--
		end("lost")
		panic(http.ErrAbortHandler)
	}
	end(a.result())
	w.Header().Set("X-OAuth-Scopes", strings.Join(s.o.Scopes, ","))
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if _, ok := a["ok"]; !ok {
		a["ok"] = true
	}
	_ = json.NewEncoder(w).Encode(a) // a client that left hears nothing
}

// limited returns how long the channel wants no more of such calls.
func (s *Slack) limited(call SlackCall) time.Duration {
	if s.faults.limits > 0 {
		s.faults.limits--
		return max(s.faults.retryAfter, time.Second)
	}
	id, _ := s.channel(call.Channel)
	return s.take(call.Method+" "+id, time.Now())
}

func (s *Slack) authentic(r *http.Request) bool {
	token := r.Form.Get("token")
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		token = bearer
	}
	return subtle.ConstantTimeCompare([]byte(token), []byte(s.o.Token)) == 1
}

func (s *Slack) call(r *http.Request, method string) slackAnswer {
	if !s.authentic(r) {
		return slackRefusal("invalid_auth")
	}
	if code := s.faults.refuse[method]; code != "" {
		return slackRefusal(code)
	}
	m, known := slackMethods[method]
	if !known {
		return slackRefusal("unknown_method")
	}
	if m.scope != "" && !slices.Contains(s.o.Scopes, m.scope) {
		a := slackRefusal("missing_scope")
		a["needed"], a["provided"] = m.scope, strings.Join(s.o.Scopes, ",")
		return a
	}
	return m.do(s, r.Form)
}

type slackMethod struct {
	scope string
	do    func(*Slack, url.Values) slackAnswer
}

var slackMethods = map[string]slackMethod{
	"auth.test":             {"", (*Slack).authTest},
	"chat.postMessage":      {"chat:write", (*Slack).postMessage},
	"chat.update":           {"chat:write", (*Slack).update},
	"chat.delete":           {"chat:write", (*Slack).delete},
	"conversations.history": {"channels:history", (*Slack).history},
	"conversations.list":    {"channels:read", (*Slack).conversations},
	"users.lookupByEmail":   {"users:read.email", (*Slack).lookupByEmail},
}

func (s *Slack) authTest(url.Values) slackAnswer {
	return slackAnswer{
		"url": "https://acme.slack.com/", "team": "Acme", "user": "build-tracker",
		"team_id": "T0ACME0001", "user_id": "U0TRACKER1", "bot_id": "B0TRACKER1",
	}
}

func (s *Slack) conversations(url.Values) slackAnswer {
	var channels []slackAnswer
	for _, name := range slices.Sorted(maps.Keys(s.o.Channels)) {
		channels = append(channels, slackAnswer{"id": s.o.Channels[name], "name": name, "is_channel": true, "is_member": true})
	}
	return slackAnswer{"channels": channels, "response_metadata": slackAnswer{"next_cursor": ""}}
}

func (s *Slack) lookupByEmail(form url.Values) slackAnswer {
	id, known := s.o.Users[strings.ToLower(form.Get("email"))]
	if !known {
		return slackRefusal("users_not_found")
	}
	return slackAnswer{"user": slackAnswer{"id": id, "name": "somebody"}}
}

// channel returns the id of a channel by id or name.
func (s *Slack) channel(name string) (id string, known bool) {
	if id, known = s.o.Channels[strings.TrimPrefix(name, "#")]; known {
		return id, true
	}
	return name, s.isChannelID(name)
}

func (s *Slack) isChannelID(id string) bool {
	return slices.Contains(slices.Collect(maps.Values(s.o.Channels)), id)
}

// timestamp returns a ts that no message has: seconds with microseconds.
func (s *Slack) timestamp(now time.Time) string {
	now = now.Truncate(time.Microsecond)
	if !now.After(s.lastTS) {
		now = s.lastTS.Add(time.Microsecond)
	}
	s.lastTS = now
	return fmt.Sprintf("%d.%06d", now.Unix(), now.Nanosecond()/1000)
}
