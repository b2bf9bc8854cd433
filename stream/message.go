package stream

import (
	"encoding/json"
	"errors"
	"iter"
)

// maxPayload is how many bytes a payload may have: PostgreSQL takes fewer than
// 8000.
const maxPayload = 7999

// messageKind is what one replica tells the others.
type messageKind string

const (
	messageHello messageKind = "hello" // the sender hears from now on, and asks for the others' markers
	messageBye   messageKind = "bye"   // the sender is going, its markers with it
	messageWant  messageKind = "want"  // the sender has listeners on these channels
	messageDrop  messageKind = "drop"  // the sender has none any more
	messageHint  messageKind = "hint"  // there may be something new on these channels
	messageAll   messageKind = "all"   // there may be something new on any channel
)

// namesChannels says whether a message of this kind is about certain channels.
func (k messageKind) namesChannels() bool {
	return k == messageWant || k == messageDrop || k == messageHint
}

// message is what one payload holds. It is JSON, which makes text that
// PostgreSQL takes of any name whatever.
type message struct {
	From     string      `json:"from"` // the replica that sent it
	Kind     messageKind `json:"kind"`
	Channels []string    `json:"channels,omitempty"`
}

// appendMessage appends the payload of a message that names no channels.
func appendMessage(payloads []string, from string, kind messageKind) []string {
	return append(payloads, string(messageHead(from, kind))+"}")
}

// appendChannels appends as many payloads as the channels need. A name that is
// too long for any is left out and counted.
func appendChannels(payloads []string, from string, kind messageKind, channels iter.Seq[string]) (_ []string, tooLong int) {
	head := append(messageHead(from, kind), `,"channels":[`...)
	const end = `]}`
	payload := head
	for channel := range channels {
		name := quote(channel)
		if len(head)+len(name)+len(end) > maxPayload {
			tooLong++
			continue
		}
		if len(payload)+len(",")+len(name)+len(end) > maxPayload {
			payloads = append(payloads, string(payload)+end)
			payload = head
		}
		if len(payload) > len(head) {
			payload = append(payload, ',')
		}
		payload = append(payload, name...)
	}
	if len(payload) > len(head) {
		payloads = append(payloads, string(payload)+end)
	}
	return payloads, tooLong
}

func messageHead(from string, kind messageKind) []byte {
	head := append([]byte(`{"from":`), quote(from)...)
	head = append(head, `,"kind":`...)
	head = append(head, quote(string(kind))...)
	return head[:len(head):len(head)] // so that every append copies
}

func quote(s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil { // a string always marshals
		panic(err)
	}
	return quoted
}

var errForeignPayload = errors.New("not a message of this program")

// parseMessage reads a payload. Anybody may send on a channel of PostgreSQL, and
// a later version of this program may say more.
func parseMessage(payload string) (message, error) {
	var m message
	if err := json.Unmarshal([]byte(payload), &m); err != nil {
		return message{}, errForeignPayload
	}
	switch m.Kind {
	case messageHello, messageBye, messageAll, messageWant, messageDrop, messageHint:
	default:
		return message{}, errForeignPayload
	}
	if m.From == "" || m.Kind.namesChannels() != (len(m.Channels) > 0) {
		return message{}, errForeignPayload
	}
	return m, nil
}
