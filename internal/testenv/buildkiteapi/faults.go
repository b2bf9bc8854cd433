package buildkiteapi

import (
	"net/http"
	"time"
)

type faults struct {
	status   int // of failures
	failures int // requests to answer so; below 0 all
	cut      int // connections to end without an answer; below 0 all
	lost     int // builds to create without an answer; below 0 all
	latency  time.Duration
	skew     time.Duration
	before   func(Call)
}

// Fail answers the next n requests with a status from 500 to 599 and a body that
// is not JSON; below 0, all until Fail is called with 0.
func (s *Server) Fail(status, n int) {
	s.setFault(func(f *faults) { f.status, f.failures = status, n })
}

// Cut ends the next n connections without an answer or an effect; below 0, all
// until Cut is called with 0.
func (s *Server) Cut(n int) { s.setFault(func(f *faults) { f.cut = n }) }

// LoseAnswers cuts the connection after each of the next n builds was created by
// POST; below 0, all until it is called with 0.
func (s *Server) LoseAnswers(n int) { s.setFault(func(f *faults) { f.lost = n }) }

// SetLatency delays every request by d before it takes effect.
func (s *Server) SetLatency(d time.Duration) { s.setFault(func(f *faults) { f.latency = d }) }

// SetSkew puts Buildkite's clock ahead of ours by d: the Date header, and every
// time in a build, those of filters too.
func (s *Server) SetSkew(d time.Duration) { s.setFault(func(f *faults) { f.skew = d }) }

// Before calls hook in the goroutine of each request, before the request takes
// effect. A hook may block, and may put builds; nil ends that.
func (s *Server) Before(hook func(Call)) { s.setFault(func(f *faults) { f.before = hook }) }

func (s *Server) setFault(set func(*faults)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	set(&s.faults)
}

// spend takes one of n faults and says whether there was one.
func spend(n *int) bool {
	if *n > 0 {
		*n--
		return true
	}
	return *n < 0
}

func (s *Server) delay(r *http.Request, call Call) {
	s.mu.Lock()
	before, latency := s.faults.before, s.faults.latency
	s.mu.Unlock()
	if before != nil {
		before(call)
	}
	if latency == 0 {
		return
	}
	late := time.NewTimer(latency)
	defer late.Stop()
	select {
	case <-late.C:
	case <-r.Context().Done():
	case <-s.closed:
	}
}
