package stream

import "slices"

// The types of events that are ours. All others are Buildkite's.
const (
	// TypeStatus tells how a build stands, with a snapshot of it.
	TypeStatus = "status"
	// TypeNotice tells of a message that was sent or edited.
	TypeNotice = "notice"
	// TypeLog tells of a job's log.
	TypeLog = "log"
	// TypeError tells of an event that could not be processed.
	TypeError = "error"
	// TypeInitialize, TypeStart and TypeFinish tell how far a job of a step is.
	TypeInitialize = "initialize"
	TypeStart      = "start"
	TypeFinish     = "finish"
)

// OurTypes returns them.
func OurTypes() []string {
	return []string{TypeStatus, TypeNotice, TypeLog, TypeError, TypeInitialize, TypeStart, TypeFinish}
}

// Ours says whether events of this type are recorded by this program about
// what it did, rather than delivered by Buildkite.
func Ours(typ string) bool { return slices.Contains(OurTypes(), typ) }
