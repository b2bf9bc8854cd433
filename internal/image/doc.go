// Package image makes build-tracker's container image, without a container
// engine: an OCI image from nothing that holds the program, the root
// certificates it trusts, and no shell.
//
// The same program, version and time give the same image, byte for byte, on any
// machine: files have one time and fixed owners, and the certificates come from
// a module that go.sum pins. The Dockerfile takes its files from [Files] too, so
// an image that a container engine builds holds the same.
package image
