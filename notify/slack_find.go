package notify

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/slack-go/slack"
)

const (
	historyPage  = 200
	channelPage  = 1000
	channelPages = 5
	// resolveAgain is how long a channel's name that could not be resolved is
	// left alone.
	resolveAgain = 10 * time.Minute
)

var errNoScope = errors.New("the app may not read the channel's history")

// Find reads one page of the channel with conversations.history, the newest
// messages first, and looks for our metadata. Unsearchable where the app may not
// read it, or the channel's id is not known.
func (s *Slack) Find(ctx context.Context, q Search) (Found, error) {
	const op = "conversations.history"
	if s.isDeaf() {
		return Found{}, &Error{Op: op, Outcome: Unsearchable, Err: errNoScope}
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	channel := q.Channel
	if channel == "" {
		var err error
		if channel, err = s.resolve(ctx); err != nil {
			return Found{}, err
		}
	}
	var t trace
	// No oldest: with it and without latest Slack begins at the oldest.
	page, err := s.api.GetConversationHistoryContext(t.context(ctx), &slack.GetConversationHistoryParameters{
		ChannelID: channel, Cursor: q.Cursor, Limit: historyPage, IncludeAllMetadata: true,
	})
	if err != nil {
		e := unsearchable(classify(op, err, t.sent()))
		if e.Code == "missing_scope" {
			s.setDeaf(true)
		}
		return Found{}, e
	}
	for _, m := range page.Messages {
		ref := Ref{Channel: channel, TS: m.Timestamp}
		if isAbout(m.Metadata, q.Subject) && ref != q.Except {
			return Found{Ref: ref}, nil
		}
		if before(m.Timestamp, q.Since) {
			return Found{}, nil
		}
	}
	if !page.HasMore {
		return Found{}, nil
	}
	return Found{Next: page.ResponseMetaData.NextCursor}, nil
}

func isAbout(m slack.SlackMetadata, about Subject) bool {
	return m.EventType == eventType && m.EventPayload["build_id"] == about.BuildID && m.EventPayload["kind"] == about.Kind
}

// before says whether a message's ts, seconds with a fraction, is before t.
func before(ts string, t time.Time) bool {
	seconds, _, _ := strings.Cut(ts, ".")
	n, err := strconv.ParseInt(seconds, 10, 64)
	return err == nil && n < t.Unix()
}

// unsearchable marks what no later search mends: every clear refusal. A limit,
// or trouble on the way, is none.
func unsearchable(e *Error) *Error {
	switch {
	case e.Outcome == RateLimited || e.Outcome == Uncertain:
	case e.Outcome == Misconfigured || e.Code != "":
		e.Outcome = Unsearchable
	}
	return e
}

// resolve returns the id of the configured channel. A receipt tells it; before
// the first one the list of channels does, where the app may read that.
func (s *Slack) resolve(ctx context.Context) (string, error) {
	const op = "conversations.list"
	s.mu.Lock()
	id, wait := s.channelID, time.Until(s.resolveAt)
	s.mu.Unlock()
	if id != "" {
		return id, nil
	}
	if wait > 0 {
		return "", &Error{Op: op, Outcome: Unsearchable, Err: errUnknownChannel}
	}
	id, err := s.listed(ctx, op)
	if err != nil && err.Outcome != Unsearchable {
		return "", err
	}
	if id == "" {
		s.mu.Lock()
		s.resolveAt = time.Now().Add(resolveAgain)
		s.mu.Unlock()
		return "", &Error{Op: op, Outcome: Unsearchable, Err: errUnknownChannel}
	}
	s.learnChannel(id)
	return id, nil
}

var errUnknownChannel = errors.New("the id of the channel is not known")

func (s *Slack) listed(ctx context.Context, op string) (string, *Error) {
	name, cursor := strings.TrimPrefix(s.channel, "#"), ""
	for range channelPages {
		var t trace
		channels, next, err := s.api.GetConversationsContext(t.context(ctx), &slack.GetConversationsParameters{
			Cursor: cursor, Limit: channelPage, ExcludeArchived: true, Types: []string{"public_channel"},
		})
		if err != nil {
			return "", unsearchable(classify(op, err, t.sent()))
		}
		for _, c := range channels {
			if c.Name == name {
				return c.ID, nil
			}
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	return "", nil
}
