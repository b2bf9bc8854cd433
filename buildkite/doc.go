// Package buildkite is Buildkite's side of a webhook: it tells whether a
// delivery is authentic (Verifier), takes out the secrets that ride in it and
// finds its address (Parse), and reads a stored payload back (Facts).
//
// A payload is read once, by a scanner of its own: what encoding/json would
// decode, rewrite or lose (lone surrogates, \u0000, numbers beyond 2^53,
// unknown fields) stays byte for byte as it came. Nothing of this keeps a
// reference to the bytes it was given, does I/O, or logs; errors never quote a
// payload.
//
// The other side is REST, which asks Buildkite's API within its limits: for builds,
// which Shown turns into what webhooks would have told of them, and for the
// addresses that webhooks come from.
//
// Everything may be called from any goroutine.
package buildkite
