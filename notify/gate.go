package notify

import (
	"sync"
	"time"
)

// gateStep spreads the notices that wait at one gate, so that they do not all
// come back at once.
const gateStep = 50 * time.Millisecond

// gates hold a method for a channel while Slack asks to wait, for all notices
// of this process. After such a wait one call goes first; when it is taken the
// others follow.
type gates struct {
	mu   sync.Mutex
	held map[gateKey]*gate
}

type gateKey struct{ method, channel string }

type gate struct {
	until   time.Time
	trying  bool // the first call after the wait is under way
	waiting int  // notices sent away since the gate closed
}

func newGates() *gates { return &gates{held: make(map[gateKey]*gate)} }

// wait returns how long a notice should stay away; 0 for an open gate.
func (g *gates) wait(key gateKey, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.held[key].waitAt(now)
}

func (h *gate) waitAt(now time.Time) time.Duration {
	if h == nil || !h.trying && !now.Before(h.until) {
		return 0
	}
	h.waiting++
	return max(0, h.until.Sub(now)) + time.Duration(h.waiting)*gateStep
}

// enter asks to make a call. It returns 0 when the call may be made, after
// which leave must be called, or how long to stay away.
func (g *gates) enter(key gateKey, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	h := g.held[key]
	if wait := h.waitAt(now); wait > 0 {
		return wait
	}
	if h != nil {
		h.trying = true
	}
	return 0
}

// leave reports the end of a call: with limited above 0, that Slack wants that
// wait.
func (g *gates) leave(key gateKey, limited time.Duration, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	h := g.held[key]
	if limited <= 0 {
		if h != nil && now.Before(h.until) {
			return // of before the gate closed: says nothing about now
		}
		delete(g.held, key)
		return
	}
	if h == nil {
		h = &gate{}
		g.held[key] = h
	}
	h.trying, h.waiting = false, 0
	if until := now.Add(limited); until.After(h.until) {
		h.until = until
	}
}
