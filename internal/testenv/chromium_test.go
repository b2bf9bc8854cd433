package testenv_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/build-tracker/build-tracker/internal/testenv"
	"github.com/build-tracker/build-tracker/internal/testenv/servers"
)

func TestChromiumIsOneThatRuns(t *testing.T) {
	const (
		runs  = "#!/bin/sh\necho Chromium 156.0.8078.79\n"
		stub  = "#!/bin/sh\necho 'Chromium is to be had elsewhere'; exit 1\n"
		other = "#!/bin/sh\necho Netscape 4.8\n"
	)
	for name, tc := range map[string]struct {
		programs    map[string]string // in PATH
		named, want string
	}{
		"the first in PATH":                    {map[string]string{"chromium": runs, "google-chrome": runs}, "", "chromium"},
		"not one that only says how to get it": {map[string]string{"chromium": stub, "google-chrome": runs}, "", "google-chrome"},
		"the one that is named":                {map[string]string{"chromium": runs, "mine": runs}, "mine", "mine"},
		"no other where one is named":          {map[string]string{"chromium": runs}, "mine", ""},
		"not another program":                  {map[string]string{"mine": other}, "mine", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for program, text := range tc.programs {
				if err := os.WriteFile(filepath.Join(dir, program), []byte(text), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv("PATH", dir)
			t.Setenv(testenv.ChromiumVariable, tc.named)
			got, err := testenv.FindChromium(t.Context())
			if tc.want == "" {
				if !errors.Is(err, servers.ErrNotFound) {
					t.Errorf("found %q, %v; want none", got, err)
				}
				return
			}
			if want := filepath.Join(dir, tc.want); got != want || err != nil {
				t.Errorf("found %q, %v; want %q", got, err, want)
			}
		})
	}
}
