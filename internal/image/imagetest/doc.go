// Package imagetest checks a container image against what container-structure-test
// reads (https://github.com/GoogleContainerTools/container-structure-test, schema
// 2.0.0), without a container engine: metadata from the image's configuration,
// files from its layers, and commands on the unpacked layers.
//
// It reads the part of that schema that it can check, and refuses the rest:
// what a suite asks is checked, or is an error.
package imagetest
