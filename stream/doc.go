// Package stream is the event log as its readers see it.
//
// Every event has one place in two orders. Position is its place in the whole
// stream: commit order over all replicas, growing, with gaps allowed. Seq is
// its place in its build: from 0, without gaps. A reader that remembers the
// last one it saw has seen everything up to it and nothing beyond: there is no
// later commit of an earlier position.
//
// Nothing here writes. Package db appends events and reads them back.
//
// # Following
//
// A [Follower] opens an [EventSource] for each watcher, of one build or of the
// whole stream. [EventSource.Next] returns what is stored, then what is appended.
//
// Order: events come in the order of their seqs, or positions, each exactly once.
// Two sources are not in step with each other.
//
// Loss: none, unless retention has dropped events before they were read. That is
// told, once, by a [GapError] with the first there is. A whole stream says so when
// it is opened, and not of what is dropped while it is followed. A read that
// failed is returned by Next and tried again by the next one; neither that nor a
// context that ends loses an event. To go on after a restart, open a source at
// the seq, or position, after the last one taken.
//
// End: a build's stream has ended when the latest event that Buildkite sent or
// that is a status is a status other than "running". What is recorded after it,
// such as a notice, does not reopen it, and is delivered if it is known when the
// end is told. A source that is opened behind the end gets what came since, then
// the end. A build whose events were all dropped has no status that could end it.
//
// Callers: one goroutine at a time calls Next or ranges over All. Everything else
// may be called by any goroutine at any time; Close wakes a Next that waits.
// Events are shared by all who watch a build: nobody may change their data.
//
// # Hints
//
// A [NotificationsBus] says on which channel there may be something new:
// [BuildChannel] for a build, [EventsChannel] for all. A [Notification] is a hint,
// which may come late, twice or not at all, and brings no event. A Follower
// listens, then reads, then waits; and as it reads the stream's head each second,
// an event whose hint was lost comes a second later.
//
// # What it costs
//
// The watchers of a build share one read of what is appended and a bounded window
// of recent events. Who falls behind the window reads the store itself, a batch
// ahead, and holds up nobody. A watcher that waits has no goroutine, timer or
// buffer of its own. What all of them hold is bounded by FollowerOptions.Memory:
// windows strictly; batches become small, and are not read ahead, beyond it.
package stream
