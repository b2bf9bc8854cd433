package notify

import (
	"errors"
	"fmt"
	"time"
)

// Outcome is what an error says about the message.
type Outcome string

// The outcomes of a call that did not succeed.
const (
	// NotSent: the call did nothing; another may succeed.
	NotSent Outcome = "not_sent"
	// Uncertain: the call may have done its work.
	Uncertain Outcome = "uncertain"
	// RateLimited: the call did nothing; ask again after Wait.
	RateLimited Outcome = "rate_limited"
	// Rejected: the message's form is refused; a plainer one may be taken.
	Rejected Outcome = "rejected"
	// Gone: the message to change is not there, or cannot be changed any more.
	Gone Outcome = "gone"
	// Misconfigured: nothing gets through until somebody changes a setting.
	Misconfigured Outcome = "misconfigured"
	// Unsearchable: the channel cannot be searched, now or later.
	Unsearchable Outcome = "unsearchable"
)

// Error is why a call to the messenger did not succeed.
type Error struct {
	Op      string // Slack's method, such as chat.postMessage
	Outcome Outcome
	// Code is Slack's error code; empty when there was no answer.
	Code string
	// Wait is how long to wait, when rate limited.
	Wait time.Duration
	// Advice says what somebody has to do, when misconfigured.
	Advice string
	Err    error
}

// Error names the method and what went wrong; never the token.
func (e *Error) Error() string {
	switch {
	case e.Outcome == RateLimited:
		return fmt.Sprintf("%s: rate limited for %s", e.Op, e.Wait)
	case e.Code != "":
		return e.Op + ": " + e.Code
	case e.Err != nil:
		return e.Op + ": " + e.Err.Error()
	}
	return e.Op + ": " + string(e.Outcome)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// outcomeOf returns what err says of the message, by default that it is
// unknown what became of it.
func outcomeOf(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Op: "send", Outcome: Uncertain, Err: err}
}
