package notify

import (
	"slices"
	"sync"
	"time"
)

// maxRetries bounds the times that are remembered; beyond it the sweep finds
// what is due.
const maxRetries = 1024

// retries remembers when postponed notices are due again, so that they need
// not wait for the next sweep.
type retries struct {
	mu sync.Mutex
	at []time.Time // sorted
}

// add remembers t and says whether it is now the earliest.
func (r *retries) add(t time.Time) (earliest bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.at) >= maxRetries {
		return false
	}
	i, _ := slices.BinarySearchFunc(r.at, t, time.Time.Compare)
	r.at = slices.Insert(r.at, i, t)
	return i == 0
}

// next returns how long until the earliest is due, at most limit.
func (r *retries) next(now time.Time, limit time.Duration) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.at) == 0 {
		return limit
	}
	return max(0, min(limit, r.at[0].Sub(now)))
}

// forget drops the times up to now: whoever is due is about to be claimed.
func (r *retries) forget(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, _ := slices.BinarySearchFunc(r.at, now, func(t, now time.Time) int {
		if t.After(now) {
			return 1
		}
		return -1
	})
	r.at = slices.Delete(r.at, 0, i)
}
