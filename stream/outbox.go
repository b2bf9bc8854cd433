package stream

import (
	"iter"
	"maps"
)

// Limits of what waits to be sent to other replicas.
const (
	maxHints         = 10_000
	maxAnnouncements = 100_000
)

// outbox is what waits to be sent to other replicas: each channel once, however
// often it was notified.
type outbox struct {
	hello bool
	// all: there were too many hints; one that is about everything stands for
	// them.
	all   bool
	hints map[string]struct{}
	// announcements say of a channel whether there are listeners here.
	announcements map[string]bool
}

func (o *outbox) empty() bool {
	return !o.hello && !o.all && len(o.hints) == 0 && len(o.announcements) == 0
}

// hint adds a channel, and returns how many hints were lost by that.
func (o *outbox) hint(channel string) (lost int) {
	if o.all {
		return 1
	}
	if _, ok := o.hints[channel]; ok {
		return 0
	}
	if len(o.hints) >= maxHints {
		lost = len(o.hints) + 1
		o.all, o.hints = true, nil
		return lost
	}
	if o.hints == nil {
		o.hints = make(map[string]struct{})
	}
	o.hints[channel] = struct{}{}
	return 0
}

// announce adds whether a channel has listeners. One too many is left out: the
// next refresh tells what is listened to, and a marker nobody refreshes expires.
func (o *outbox) announce(channel string, listening bool) {
	if _, ok := o.announcements[channel]; !ok && len(o.announcements) >= maxAnnouncements {
		return
	}
	if o.announcements == nil {
		o.announcements = make(map[string]bool)
	}
	o.announcements[channel] = listening
}

// putBack adds what could not be sent to what came since, and returns how many
// hints were lost by that.
func (o *outbox) putBack(unsent outbox) (lost int) {
	o.hello = o.hello || unsent.hello
	if unsent.all && !o.all {
		lost += len(o.hints)
		o.all, o.hints = true, nil
	}
	for channel := range unsent.hints {
		lost += o.hint(channel)
	}
	for channel, listening := range unsent.announcements {
		if _, ok := o.announcements[channel]; !ok {
			o.announce(channel, listening)
		}
	}
	return lost
}

// payloads returns what is in the box as messages, and how many hints were too
// long for one.
func (o *outbox) payloads(from string) (payloads []string, lost int) {
	if o.hello {
		payloads = appendMessage(payloads, from, messageHello)
	}
	payloads, _ = appendChannels(payloads, from, messageDrop, o.announced(false))
	payloads, _ = appendChannels(payloads, from, messageWant, o.announced(true))
	if o.all {
		payloads = appendMessage(payloads, from, messageAll)
	}
	return appendChannels(payloads, from, messageHint, maps.Keys(o.hints))
}

func (o *outbox) announced(listening bool) iter.Seq[string] {
	return func(yield func(string) bool) {
		for channel, l := range o.announcements {
			if l == listening && !yield(channel) {
				return
			}
		}
	}
}
