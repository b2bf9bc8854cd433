package testenv

import (
	"math"
	"time"
)

// SlackDown is how a Slack is out of order.
type SlackDown int

// The ways to be out of order.
const (
	// SlackUp is in order.
	SlackUp SlackDown = iota
	// SlackCutting ends every connection without an answer or an effect.
	SlackCutting
	// SlackUnavailable answers 503.
	SlackUnavailable
	// SlackRefusing takes no connection, from a PipeClient; else as Cutting.
	SlackRefusing
)

type slackFaults struct {
	down       SlackDown
	lose       int // accepted messages whose answer is lost
	latency    time.Duration
	limits     int // messages to be refused with 429
	retryAfter time.Duration
	noBlocks   bool
	refuse     map[string]string // error codes by method
	before     func(SlackCall)
}

// SetDown puts it out of order, or in order again.
func (s *Slack) SetDown(how SlackDown) { s.setFault(func(f *slackFaults) { f.down = how }) }

// LoseAnswers cuts the connection after the next n posts or edits were accepted.
func (s *Slack) LoseAnswers(n int) { s.setFault(func(f *slackFaults) { f.lose = n }) }

// SetLatency delays every call by d before it takes effect.
func (s *Slack) SetLatency(d time.Duration) { s.setFault(func(f *slackFaults) { f.latency = d }) }

// LimitNext answers the next n posts or edits with 429.
func (s *Slack) LimitNext(n int, retryAfter time.Duration) {
	s.setFault(func(f *slackFaults) { f.limits, f.retryAfter = n, retryAfter })
}

// RejectBlocks refuses every message with blocks, as invalid_blocks.
func (s *Slack) RejectBlocks(on bool) { s.setFault(func(f *slackFaults) { f.noBlocks = on }) }

// Refuse answers calls of a method with an error code; an empty one ends that.
func (s *Slack) Refuse(method, code string) {
	s.setFault(func(f *slackFaults) {
		if f.refuse == nil {
			f.refuse = make(map[string]string)
		}
		f.refuse[method] = code
	})
}

// Before calls hook in the goroutine of each call, before the call takes
// effect. A hook may block; nil ends that.
func (s *Slack) Before(hook func(SlackCall)) { s.setFault(func(f *slackFaults) { f.before = hook }) }

func (s *Slack) setFault(set func(*slackFaults)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	set(&s.faults)
}

// slackBucket lets a burst through and then one message an interval.
type slackBucket struct {
	tokens float64
	at     time.Time
}

// take returns 0, or how long until there is room; s.mu is held.
func (s *Slack) take(key string, now time.Time) time.Duration {
	if s.o.Burst < 0 {
		return 0
	}
	b := s.buckets[key]
	if b == nil {
		b = &slackBucket{tokens: float64(s.o.Burst), at: now}
		s.buckets[key] = b
	}
	b.tokens = math.Min(float64(s.o.Burst), b.tokens+float64(now.Sub(b.at))/float64(s.o.Interval))
	b.at = now
	if b.tokens < 1 {
		return time.Duration((1 - b.tokens) * float64(s.o.Interval))
	}
	b.tokens--
	return 0
}
