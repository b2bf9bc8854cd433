// Package simulate makes Buildkite traffic as it really is: webhook deliveries
// of several organizations over days, and what is true of the builds in them.
//
// A simulation decides what happens (world.go, life.go, jobs.go, hand.go), in
// order of simulated time and from one seed, and sends what Buildkite would
// (payload.go, render.go) over a line that delays, repeats and reorders
// (line.go). The truth (truth.go) follows from what was decided, not from what
// was sent. Nothing is held but the builds under way and the truth.
//
// The same options give the same bytes. What the line does has dice of its own:
// it changes no build.
package simulate
