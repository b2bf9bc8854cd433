package notify

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"github.com/slack-go/slack"
)

// Level is how much of its form a message has. Slack refuses a message now and
// then, on the very day it is needed: then a plainer one is tried.
type Level int

// The levels, each plainer than the one before.
const (
	// Full has jobs, links, author and pipeline.
	Full Level = iota
	// Short has the header, a few names and the button.
	Short
	// Plain is text without blocks.
	Plain
)

// String returns the level's name, for logs and metrics.
func (l Level) String() string {
	switch l {
	case Full:
		return "full"
	case Short:
		return "short"
	case Plain:
		return "plain"
	}
	return fmt.Sprintf("level %d", int(l))
}

// Message is one message as Slack takes it.
type Message struct {
	Level Level
	// Text is what notifications show; at Plain it is the whole message.
	Text string
	// Blocks are none at Plain.
	Blocks []slack.Block
	// Address is ORGANIZATION/PIPELINE/NUMBER of the build, for a log; it is not sent.
	Address string
}

// Hash returns the SHA-256 of what would be sent. Two messages with the same
// hash look the same in the channel.
func (m Message) Hash() []byte {
	h := sha256.New()
	fmt.Fprintf(h, "%d\n", m.Level)
	if err := json.NewEncoder(h).Encode(struct {
		Text   string
		Blocks []slack.Block
	}{m.Text, m.Blocks}); err != nil { // blocks that Render made always marshal
		panic(err)
	}
	return h.Sum(nil)
}
