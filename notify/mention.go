package notify

import (
	"container/list"
	"context"
	"strings"
	"sync"
	"time"
)

const (
	maxMentions = 1000
	// mentionTTL is how long an answer stands, that nobody has the address too.
	mentionTTL = time.Hour
	// mentionPause is how long nothing is asked after an error.
	mentionPause = 30 * time.Second
	// mentionTimeout is short: a message does not wait for a name.
	mentionTimeout = 1500 * time.Millisecond
)

// Mention returns the Slack id of the user with this email address, from memory
// for an hour; empty when there is none. An answer that does not come at once
// is as none.
func (s *Slack) Mention(ctx context.Context, email string) string {
	email = strings.ToLower(strings.TrimSpace(email))
	if !strings.Contains(email, "@") || len(email) > 254 { // RFC 5321's limit
		return ""
	}
	if id, known := s.users.get(email, time.Now()); known {
		return id
	}
	ctx, cancel := context.WithTimeout(ctx, mentionTimeout)
	defer cancel()
	var t trace
	user, err := s.api.GetUserByEmailContext(t.context(ctx), email)
	if err == nil {
		s.users.put(email, user.ID, time.Now())
		return user.ID
	}
	switch e := classify("users.lookupByEmail", err, t.sent()); {
	case e.Code == "users_not_found":
		s.users.put(email, "", time.Now())
	case e.Outcome == Misconfigured: // a scope is missing, as Check said
		s.users.pause(time.Now().Add(mentionTTL))
	default:
		s.users.pause(time.Now().Add(max(e.Wait, mentionPause)))
		s.log.DebugContext(ctx, "author not looked up", "error", e)
	}
	return ""
}

// mentions remembers users by email address, the latest used ones.
type mentions struct {
	mu     sync.Mutex
	byMail map[string]*list.Element
	recent *list.List // of mention, the latest used first
	paused time.Time
}

type mention struct {
	email, id string
	until     time.Time
}

func newMentions() *mentions {
	return &mentions{byMail: make(map[string]*list.Element), recent: list.New()}
}

// get returns what is known of an address. While lookups are paused everything
// is known.
func (m *mentions) get(email string, now time.Time) (id string, known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.byMail[email]; ok {
		if found := e.Value.(mention); now.Before(found.until) {
			m.recent.MoveToFront(e)
			return found.id, true
		}
		m.remove(e)
	}
	return "", now.Before(m.paused)
}

func (m *mentions) put(email, id string, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.byMail[email]; ok {
		m.remove(e)
	}
	m.byMail[email] = m.recent.PushFront(mention{email: email, id: id, until: now.Add(mentionTTL)})
	if m.recent.Len() > maxMentions {
		m.remove(m.recent.Back())
	}
}

func (m *mentions) pause(until time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.paused = until
}

func (m *mentions) remove(e *list.Element) {
	delete(m.byMail, m.recent.Remove(e).(mention).email)
}
