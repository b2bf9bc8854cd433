// Package stats counts builds by the day on which they finished, and sums days up.
//
// A Tally is what is counted of some builds. Tallies of days add up to that of a
// month or a year: every figure of one is a count, a maximum or a histogram. So a
// question about a year reads some hundred small rows and no build.
package stats
