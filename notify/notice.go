package notify

import (
	"context"
	"errors"
	"time"

	"github.com/build-tracker/build-tracker/build"
)

// KindFailed is the kind of the message about a build that failed.
const KindFailed = "failed"

// ErrLostClaim: the claim ended and another sender may have the notice. A
// Queue returns it, wrapped or not, from Extend, Receipt and Postpone.
var ErrLostClaim = errors.New("the claim on the notice is lost")

// Notice is one message, as it is wanted and as it was last sent. The fields
// are those of the store's notice.
type Notice struct {
	BuildID   string
	Kind      string
	WantedRev int64
	SentRev   int64
	BodyHash  []byte
	Channel   string // where it is; empty before the first send
	TS        string
	SentAt    time.Time // of the latest send or edit; zero before
	// Attempts counts failed attempts since the last receipt.
	Attempts  int
	LastError string
	// Uncertain: an attempt was begun whose outcome nobody recorded. Its message
	// may be in the channel: look before a second one is sent.
	Uncertain bool
	// Token is the claim's; a receipt needs it.
	Token int64
}

// Receipt is what was sent.
type Receipt struct {
	SentRev  int64
	BodyHash []byte
	Channel  string
	TS       string
	// Unsent: nothing had to be said, and nothing is in the channel.
	Unsent bool
	// Said is what was done to the message; nil for nothing.
	Said *Said
}

// Said is what was done to a message.
type Said struct {
	// Action is "sent" or "edited".
	Action string
	// Build is whose message it is, as it was said.
	Build *build.Build
}

// Postponement is why and for how long a notice waits.
type Postponement struct {
	Wait   time.Duration
	Reason string
	// Failed counts the attempt; a 429 does not.
	Failed bool
	// Uncertain: the message may have been accepted.
	Uncertain bool
}

// Queue is where a Sender finds the notices that are due. Each method may fail
// with any error, after which the same call may be made again.
type Queue interface {
	// Claim takes up to limit notices that are due, for ttl.
	Claim(ctx context.Context, limit int, ttl time.Duration) ([]Notice, error)
	// Extend prolongs a claim to ttl from now. ErrLostClaim if another has it.
	Extend(ctx context.Context, n Notice, ttl time.Duration) error
	// Receipt records what was sent and gives the claim up. ErrLostClaim if
	// another has it: then nothing is written.
	Receipt(ctx context.Context, n Notice, r Receipt) error
	// Postpone gives the claim up without a receipt. Uncertain replaces the
	// notice's own: the sender says what it knows now.
	Postpone(ctx context.Context, n Notice, p Postponement) error
	// Notices returns the notices of these builds as they are now.
	Notices(ctx context.Context, buildIDs []string) ([]Notice, error)
}

// Builds is where a Sender finds what to say.
type Builds interface {
	// Build returns the committed state of a build as of now; nil, without an
	// error, when there is no such build any more.
	Build(ctx context.Context, id string) (*build.Build, error)
}
