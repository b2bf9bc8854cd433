// Package build is the domain: what deliveries about a Buildkite build add up
// to. It knows no HTTP, no SQL and no Slack.
//
// Apply folds what one delivery says into a Build. Folding is idempotent and
// does not depend on order: any permutation of a build's deliveries, with any
// of them repeated, gives the same Build. Each part of the state is a maximum
// over what was shown, so nothing has to be remembered of the order.
//
// What follows from one build alone (status, steps, attempt chains) is computed
// from the state when asked for. What depends on other builds (the streak, what
// triggered builds lend) is set by whoever sees them all.
//
// Store keeps builds in Redis for the one process that folds.
package build
