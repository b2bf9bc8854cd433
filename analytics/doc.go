// Package analytics says which rows follow from the event stream: what BigQuery
// holds, and what an export writes to files.
//
// Every row is a function of the stream alone. Whoever does it again gets the same
// rows in the same order, byte by byte: that is what writing each of them once
// rests on. A row that tells of a build comes from a status event, which holds the
// build as it was, compared with the build's status event before.
package analytics
