// Package config turns flags and environment variables into one validated
// Config.
//
// The structs whose names end in Flags carry the tags that package kong reads:
// a flag wins over its environment variable, and that over the default. They
// hold text as it was given, so that a command can be told everything that is
// wrong with its configuration at once. Their Config methods check the text and
// return what it means. The errors hold one sentence a line, name the variable,
// say what to do, and show no secret.
//
// A variable that is set but blank counts as not set.
package config
