package buildtracker

import (
	"crypto/sha256"
	"encoding/json"
	"strconv"
	"time"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/notify"
	"github.com/build-tracker/build-tracker/stream"
)

// ownID is the id of an event of ours: what it is about, and when that was.
func ownID(typ string, about ...string) stream.ID {
	h := sha256.New()
	for _, text := range append([]string{typ}, about...) {
		h.Write([]byte(text))
		h.Write([]byte{0})
	}
	return stream.ID(h.Sum(nil)[:16])
}

// ownEvent returns an event of ours about a build. Its data is one of the types
// below, which all marshal.
func ownEvent(b *build.Build, typ, at string, data any) db.Own {
	text, _ := json.Marshal(data)
	return db.Own{
		ID: ownID(typ, b.ID, at), Organization: b.Organization,
		BuildID: b.ID, Pipeline: b.Pipeline, Number: b.Number,
		Type: typ, Data: text,
	}
}

// statusData is the data of a status event.
type statusData struct {
	Status build.Status `json:"status"`
	// Previous is empty when the build was not known before.
	Previous build.Status `json:"previous"`
	Build    build.View   `json:"build"`
}

// status tells how a build stands after a batch, if that changed. After every
// event of a finished build there is one: with it the build's stream ends.
func (c *change) status(at int64) (db.Own, bool) {
	if c.b == nil || !c.own && !c.streak {
		return db.Own{}, false
	}
	now := standingOf(c.b)
	if !c.b.Finished() && c.before.status == now.status && c.before.state == now.state {
		return db.Own{}, false
	}
	return ownEvent(c.b, stream.TypeStatus, strconv.FormatInt(at, 10), statusData{
		Status: now.status, Previous: c.before.status, Build: c.b.Snapshot(),
	}), true
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// noticeData is the data of a notice event.
type noticeData struct {
	Kind string `json:"kind"`
	// Action is sent or edited.
	Action string `json:"action"`
	// Channel and TS are where the message is; empty when it went to the log.
	Channel string `json:"channel"`
	TS      string `json:"ts"`
}

// noticeEvent tells of a message that was sent or edited. A claim has one receipt.
func noticeEvent(n notify.Notice, r notify.Receipt) []db.Own {
	if r.Said == nil {
		return nil
	}
	at := n.Kind + " " + strconv.FormatInt(n.Token, 10)
	return []db.Own{ownEvent(r.Said.Build, stream.TypeNotice, at, noticeData{
		Kind: n.Kind, Action: r.Said.Action, Channel: r.Channel, TS: r.TS,
	})}
}

// errorData is the data of an error event.
type errorData struct {
	// Position and Type are of the event that could not be processed.
	Position int64  `json:"position"`
	Type     string `json:"type"`
	Reason   string `json:"reason"`
}

// maxReason bounds the text of an error event, in bytes.
const maxReason = 500

func errorEvent(e *stream.Event, cause error) db.Own {
	reason := cause.Error()
	if len(reason) > maxReason {
		reason = reason[:maxReason]
	}
	b := build.New(e.BuildID, e.Organization, e.Pipeline, e.Number)
	return ownEvent(b, stream.TypeError, strconv.FormatInt(e.Position, 10), errorData{Position: e.Position, Type: e.Type, Reason: reason})
}
