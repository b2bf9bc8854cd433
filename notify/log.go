package notify

import (
	"context"
	"log/slog"
)

// LogMessenger logs messages where there is no Slack. A message that was logged
// is at Ref{Channel: "log"}; nothing there can be found again, edited or removed.
type LogMessenger struct{ Logger *slog.Logger }

// logChannel is the Ref's channel of what was only logged.
const logChannel = "log"

// Channel returns "log".
func (l *LogMessenger) Channel() string { return logChannel }

// Post logs the message.
func (l *LogMessenger) Post(ctx context.Context, m Message, about Subject) (Ref, error) {
	l.log(ctx, m, about)
	return Ref{Channel: logChannel}, nil
}

// Update logs the message as it is now, and keeps the place of one that Slack
// has from an earlier configuration.
func (l *LogMessenger) Update(ctx context.Context, ref Ref, m Message, about Subject) (Ref, error) {
	l.log(ctx, m, about)
	return ref, nil
}

// Find finds nothing.
func (l *LogMessenger) Find(context.Context, Search) (Found, error) { return Found{}, nil }

// Delete does nothing.
func (l *LogMessenger) Delete(context.Context, Ref) error { return nil }

// Mention knows nobody.
func (l *LogMessenger) Mention(context.Context, string) string { return "" }

func (l *LogMessenger) log(ctx context.Context, m Message, about Subject) {
	l.Logger.InfoContext(ctx, "notice", "text", m.Text, "build", m.Address, "kind", about.Kind, "id", about.BuildID)
}
