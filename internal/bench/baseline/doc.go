// Package baseline holds what build-tracker is measured against: each the
// simple way to do the same work, as fast as that way goes.
package baseline
