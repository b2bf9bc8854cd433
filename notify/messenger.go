package notify

import (
	"context"
	"time"
)

// Ref says where a message is.
type Ref struct {
	Channel string // Slack's id of the channel, or "log"
	TS      string // Slack's timestamp, which identifies a message in a channel; empty in the log
}

// Subject says what a message is about. It travels with the message as its
// metadata, so that it can be found again.
type Subject struct {
	BuildID string
	Kind    string
}

// Search asks for one page of a channel's messages.
type Search struct {
	// Channel is an id; empty is the channel that Post sends to.
	Channel string
	Subject Subject
	// Except is a message that is not looked for; zero for none.
	Except Ref
	// Since is the age at which to stop looking.
	Since time.Time
	// Cursor continues after the page that returned it as Next.
	Cursor string
}

// Found is the answer to one page of a search. At most one of the two is set;
// none means that the message is not there.
type Found struct {
	Ref  Ref
	Next string
}

// Messenger carries messages: Slack, or the log where there is no token. Errors
// are *Error.
type Messenger interface {
	// Channel names where Post sends to, as it was configured.
	Channel() string
	// Post sends a new message and says where it is.
	Post(ctx context.Context, m Message, about Subject) (Ref, error)
	// Update replaces the message at ref.
	Update(ctx context.Context, ref Ref, m Message, about Subject) (Ref, error)
	// Find looks for the message about a subject on one page of the channel.
	Find(ctx context.Context, s Search) (Found, error)
	// Delete removes the message at ref; one that is gone is no error.
	Delete(ctx context.Context, ref Ref) error
	// Mention returns the id of the user with this email address; empty when
	// there is none or it could not be asked quickly.
	Mention(ctx context.Context, email string) string
}
