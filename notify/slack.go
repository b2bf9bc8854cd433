package notify

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/slack-go/slack"
)

// eventType names our metadata on a message.
const eventType = "build_tracker_notice"

// callTimeout bounds one call to Slack; together with the receipt it fits into
// a claim.
const callTimeout = 4 * time.Second

// SlackOptions says which Slack to talk to.
type SlackOptions struct {
	// Token is the bot's. It appears in no log and no error.
	Token string
	// Channel is where messages go: an id, or a name with or without "#".
	Channel string
	// APIURL ends in /api/; empty is Slack's own.
	APIURL string
	// Debug logs what slack-go does, the token masked.
	Debug bool
	// HTTPClient carries the calls; nil is a plain one. It follows no redirects.
	HTTPClient *http.Client
	// Around, if set, returns what every call goes through on its way to next.
	Around func(next http.RoundTripper) http.RoundTripper
	Logger *slog.Logger
	// Timeout bounds each call; 0 is 4 s.
	Timeout time.Duration
}

// Slack is the Messenger that posts to a channel of a Slack workspace.
type Slack struct {
	api     *slack.Client
	channel string
	timeout time.Duration
	log     *slog.Logger
	users   *mentions

	mu        sync.Mutex
	channelID string    // of channel, once known
	resolveAt time.Time // not before this is the name looked up again
	deaf      bool      // the app may not read the channel
}

// NewSlack returns a Slack. It makes no call.
func NewSlack(o SlackOptions) *Slack {
	s := &Slack{
		channel: o.Channel,
		timeout: cmp.Or(o.Timeout, callTimeout),
		log:     cmp.Or(o.Logger, slog.Default()),
		users:   newMentions(),
	}
	if channelID.MatchString(o.Channel) {
		s.channelID = o.Channel
	}
	options := []slack.Option{
		slack.OptionHTTPClient(newTransport(o.HTTPClient, o.Around)),
		slack.OptionDebug(o.Debug),
		slack.OptionLog(&debugLog{log: s.log, secret: o.Token}),
	}
	if o.APIURL != "" {
		options = append(options, slack.OptionAPIURL(strings.TrimSuffix(o.APIURL, "/")+"/"))
	}
	s.api = slack.New(o.Token, options...)
	return s
}

// channelID tells an id from a name: a name has no capitals.
var channelID = regexp.MustCompile(`^[CDG][A-Z0-9]+$`)

// Channel names where Post sends to, as it was configured.
func (s *Slack) Channel() string { return s.channel }

// Post sends m with chat.postMessage to the configured channel.
func (s *Slack) Post(ctx context.Context, m Message, about Subject) (Ref, error) {
	const op = "chat.postMessage"
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	var t trace
	channel, ts, err := s.api.PostMessageContext(t.context(ctx), s.target(), options(m, about)...)
	if err != nil {
		return Ref{}, classify(op, err, t.sent())
	}
	if channel == "" || ts == "" {
		return Ref{}, &Error{Op: op, Outcome: Uncertain, Err: errNoRef}
	}
	s.learnChannel(channel)
	return Ref{Channel: channel, TS: ts}, nil
}

var errNoRef = errors.New("the answer does not say where the message is")

// Update replaces the message at ref with chat.update.
func (s *Slack) Update(ctx context.Context, ref Ref, m Message, about Subject) (Ref, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	var t trace
	if _, _, _, err := s.api.UpdateMessageContext(t.context(ctx), ref.Channel, ref.TS, options(m, about)...); err != nil {
		return ref, classify("chat.update", err, t.sent())
	}
	return ref, nil
}

// Delete removes the message at ref with chat.delete.
func (s *Slack) Delete(ctx context.Context, ref Ref) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	var t trace
	if _, _, err := s.api.DeleteMessageContext(t.context(ctx), ref.Channel, ref.TS); err != nil {
		if e := classify("chat.delete", err, t.sent()); e.Code != "message_not_found" {
			return e
		}
	}
	return nil
}

// options is m as slack-go sends it. Parse none keeps Slack from making links
// and mentions of its own; chat.update would do so by default. Blocks go along
// when there are none, too: else chat.update keeps the old ones.
func options(m Message, about Subject) []slack.MsgOption {
	return []slack.MsgOption{
		slack.MsgOptionText(m.Text, false),
		slack.MsgOptionBlocks(m.Blocks...),
		slack.MsgOptionMetadata(metadata(about)),
		slack.MsgOptionParse(false),
		slack.MsgOptionDisableLinkUnfurl(),
		slack.MsgOptionDisableMediaUnfurl(),
	}
}

func metadata(about Subject) slack.SlackMetadata {
	return slack.SlackMetadata{
		EventType:    eventType,
		EventPayload: map[string]any{"build_id": about.BuildID, "kind": about.Kind},
	}
}

// target is the channel's id when it is known, else its name.
func (s *Slack) target() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return cmp.Or(s.channelID, s.channel)
}

func (s *Slack) learnChannel(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.channelID = cmp.Or(s.channelID, id)
}

// debugLog takes slack-go's debug output, which may hold the token in a form
// that slack-go does not know.
type debugLog struct {
	log    *slog.Logger
	secret string
}

// Output logs one line.
func (d *debugLog) Output(_ int, line string) error {
	d.log.Info("slack-go", "line", redact(strings.TrimSpace(line), d.secret, url.QueryEscape(d.secret)))
	return nil
}
