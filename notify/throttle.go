package notify

import (
	"sync"
	"time"
)

// throttleEvery is how often one kind of warning is repeated.
const throttleEvery = 30 * time.Second

// throttle keeps a warning that a thousand notices cause from being logged a
// thousand times. The kinds are few: methods and Slack's error codes.
type throttle struct {
	mu   sync.Mutex
	last map[string]time.Time
}

func newThrottle() *throttle { return &throttle{last: make(map[string]time.Time)} }

func (t *throttle) allow(kind string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if last, ok := t.last[kind]; ok && now.Sub(last) < throttleEvery {
		return false
	}
	if len(t.last) > 1000 {
		clear(t.last)
	}
	t.last[kind] = now
	return true
}
