package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/build-tracker/build-tracker/internal/image/imagetest"
)

// The command tests of an image hold for the program itself.
func TestImageCommands(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.FromSlash("../../image_test.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	image, err := imagetest.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if len(image.CommandTests) == 0 {
		t.Fatal("image_test.yaml has no command tests")
	}
	for _, tt := range image.CommandTests {
		t.Run(tt.Name, func(t *testing.T) {
			t.Parallel()
			if tt.Command != "build-tracker" {
				t.Fatalf("the image has no %s", tt.Command)
			}
			cmd := exec.Command(program(t), tt.Args...)
			cmd.Dir = t.TempDir()
			cmd.Env = append(tt.Env(), "GORACE=atexit_sleep_ms=0")
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
				t.Fatal(err)
			}
			for _, problem := range tt.Check(imagetest.Outcome{
				ExitCode: cmd.ProcessState.ExitCode(),
				Stdout:   stdout.String(),
				Stderr:   stderr.String(),
			}) {
				t.Error(problem)
			}
		})
	}
}
