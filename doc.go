// Package buildtracker is the build-tracker server: it takes Buildkite's
// webhooks, keeps what they add up to, and says in Slack what failed.
//
// The event stream is the truth; everything else is a cursor over it. A
// delivery is appended to the stream and answered (webhook.go). One replica at a
// time, the Tracker, folds events into builds and has reactors say what follows
// (background.go, batch.go, relations.go, reactors.go); any replica sends the
// notices that are wanted (package notify). What is answered to readers comes
// from the database (api.go).
//
// New connects and listens, Run serves until its context ends and then
// drains. Servers in one process share nothing.
package buildtracker
