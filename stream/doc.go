// Package stream is the event log as its readers see it.
//
// Every event has one place in two orders. Position is its place in the whole
// stream: commit order over all replicas, growing, with gaps allowed. Seq is
// its place in its build: from 0, without gaps. A reader that remembers the
// last one it saw has seen everything up to it and nothing beyond: there is no
// later commit of an earlier position.
//
// Nothing here writes. Package db appends events and reads them back.
package stream
