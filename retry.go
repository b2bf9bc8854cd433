package buildtracker

import (
	"context"
	mathrand "math/rand/v2"
	"time"
)

// sleep waits for d and says whether ctx still lives.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// backoff returns base, doubled with each failure after the first, up to limit.
func backoff(failures int, base, limit time.Duration) time.Duration {
	return min(base<<min(failures-1, 16), limit)
}

// jitter spreads d over half of it either way.
func jitter(d time.Duration) time.Duration {
	return d/2 + mathrand.N(d)
}

// sometimes limits a log line that would repeat with every try.
type sometimes struct{ last time.Time }

func (s *sometimes) do(f func()) {
	if now := time.Now(); now.Sub(s.last) > 10*time.Second {
		s.last = now
		f()
	}
}
