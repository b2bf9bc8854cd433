package notify

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/slack-go/slack"
)

const (
	// unknownWait is how long a 429 holds that does not say so itself.
	unknownWait = 10 * time.Second
	maxWait     = time.Hour
)

// codes sorts Slack's error codes by what they mean for a message. One that is
// not here did nothing and may do better next time.
// https://docs.slack.dev/reference/methods/chat.postMessage lists them.
var codes = map[string]Outcome{
	"invalid_blocks":        Rejected,
	"invalid_blocks_format": Rejected,
	"msg_blocks_too_long":   Rejected,
	"msg_too_long":          Rejected,
	"invalid_attachments":   Rejected,
	"too_many_attachments":  Rejected,
	"no_text":               Rejected,

	"message_not_found":   Gone,
	"cant_update_message": Gone,
	"edit_window_closed":  Gone,

	"ratelimited":  RateLimited,
	"rate_limited": RateLimited,

	// Slack: "It's possible some aspect of the operation succeeded."
	"internal_error": Uncertain,
	"fatal_error":    Uncertain,
}

// advice says what to do about what no retry mends.
var advice = map[string]string{
	"invalid_auth":       "set SLACK_TOKEN to the token of the installed app",
	"not_authed":         "set SLACK_TOKEN to the token of the installed app",
	"account_inactive":   "the app was removed from the workspace: install it again and set SLACK_TOKEN",
	"token_revoked":      "the token was revoked: install the app again and set SLACK_TOKEN",
	"token_expired":      "the token has expired: set SLACK_TOKEN to a fresh one",
	"missing_scope":      "add the scope chat:write to the app and install it again",
	"channel_not_found":  "set SLACK_CHANNEL to a channel the app can see, by name or id",
	"not_in_channel":     "invite the app to SLACK_CHANNEL",
	"is_archived":        "SLACK_CHANNEL is archived: bring it back or name another one",
	"restricted_action":  "a setting of the workspace keeps the app from posting in SLACK_CHANNEL",
	"ekm_access_denied":  "the workspace's administrators have suspended posting",
	"org_login_required": "the workspace is moving to an organization: wait, then set SLACK_TOKEN anew",
}

// classify turns what slack-go returned into an Error. sent says whether the
// request may have reached Slack.
func classify(op string, err error, sent bool) *Error {
	e := &Error{Op: op, Outcome: NotSent, Err: err}
	if sent && !errors.Is(err, errTooLate) {
		e.Outcome = Uncertain
	}
	if limited, ok := errors.AsType[*slack.RateLimitedError](err); ok {
		e.Outcome, e.Wait = RateLimited, min(max(limited.RetryAfter, time.Second), maxWait)
		return e
	}
	if refused, ok := errors.AsType[slack.SlackErrorResponse](err); ok {
		return byCode(e, refused.Err)
	}
	if status, ok := errors.AsType[slack.StatusCodeError](err); ok {
		return byStatus(e, status.Code)
	}
	if _, ok := errors.AsType[*strconv.NumError](err); ok { // a Retry-After that is no number
		e.Outcome, e.Wait = RateLimited, unknownWait
	}
	return e
}

func byCode(e *Error, code string) *Error {
	e.Code, e.Outcome = code, NotSent
	if outcome, known := codes[code]; known {
		e.Outcome = outcome
	}
	if e.Outcome == RateLimited {
		e.Wait = unknownWait
	}
	if what, known := advice[code]; known {
		e.Outcome, e.Advice = Misconfigured, what
	}
	return e
}

func byStatus(e *Error, status int) *Error {
	switch {
	case status == http.StatusTooManyRequests:
		e.Outcome, e.Wait = RateLimited, unknownWait
	case status == http.StatusRequestEntityTooLarge:
		e.Outcome = Rejected
	case status >= 300 && status < 500 && status != http.StatusRequestTimeout:
		e.Outcome = Misconfigured
		e.Advice = fmt.Sprintf("%s answered HTTP %d: check SLACK_API_URL", e.Op, status)
	}
	return e
}
