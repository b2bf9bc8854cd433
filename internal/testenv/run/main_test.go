package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestExecuteReturnsTheCommandsExitCode(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		script string
		want   int
	}{
		"success":                      {"exit 0", 0},
		"failure":                      {"exit 7", 7},
		"a signal":                     {"kill -TERM $$", 128 + 15},
		"the environment is handed on": {`[ "$ADDED" = yes ] && exit 5`, 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := execute([]string{"sh", "-c", tc.script}, []string{"ADDED=yes"}, nil)
			if got != tc.want || err != nil {
				t.Errorf("execute: %d, %v; want %d", got, err, tc.want)
			}
		})
	}
}

func TestExecuteHandsSignalsOn(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		script string // writes to $READY when it is ready
		times  int    // how often it gets a SIGTERM
		want   int
	}{
		"the first one reaches what the command started": {
			`trap : TERM; sh -c 'echo >"$READY"; exec sleep 100'; exit 9`, 1, 9,
		},
		"the second one kills": {`trap '' TERM; echo >"$READY"; exec sleep 100`, 2, 128 + 9},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ready := filepath.Join(t.TempDir(), "ready")
			if err := syscall.Mkfifo(ready, 0o600); err != nil {
				t.Fatal(err)
			}
			signals := make(chan os.Signal)
			go func() {
				// Returns when the script has written.
				if _, err := os.ReadFile(ready); err != nil {
					t.Error(err)
				}
				for range tc.times {
					signals <- syscall.SIGTERM
				}
			}()
			got, err := execute([]string{"sh", "-c", tc.script}, []string{"READY=" + ready}, signals)
			if got != tc.want || err != nil {
				t.Errorf("execute: %d, %v; want %d", got, err, tc.want)
			}
		})
	}
}
