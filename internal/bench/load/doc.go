// Package load makes Buildkite deliveries of about 6 KB, shaped as the real
// ones are, and posts them at so little cost that the client does not
// dominate what it measures.
package load
