package main

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the scripts run this test binary as build-tracker.
func TestMain(m *testing.M) {
	// Most of the time tests wait for clocks, not for a processor. A -parallel
	// on the command line comes later and wins.
	if err := flag.Set("test.parallel", strconv.Itoa(max(6, runtime.GOMAXPROCS(0)))); err != nil {
		panic(err)
	}
	testscript.Main(m, map[string]func(){"build-tracker": func() { os.Exit(run(os.Args[1:])) }})
}
