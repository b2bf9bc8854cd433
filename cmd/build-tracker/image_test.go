package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/goccy/go-yaml"
)

// The command tests of an image hold for the program itself.
func TestImageCommands(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.FromSlash("../../image_test.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var image struct {
		CommandTests []struct {
			Name    string
			Command string
			Args    []string
			EnvVars []struct{ Key, Value string } `yaml:"envVars"`
			// What it has to answer: regular expressions, all of which match.
			ExitCode       int      `yaml:"exitCode"`
			ExpectedOutput []string `yaml:"expectedOutput"`
			ExpectedError  []string `yaml:"expectedError"`
		} `yaml:"commandTests"`
	}
	if err := yaml.Unmarshal(text, &image); err != nil {
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
			cmd.Env = []string{"GORACE=atexit_sleep_ms=0"}
			for _, v := range tt.EnvVars {
				cmd.Env = append(cmd.Env, v.Key+"="+v.Value)
			}
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
				t.Fatal(err)
			}
			if code := cmd.ProcessState.ExitCode(); code != tt.ExitCode {
				t.Errorf("exit code %d, want %d: %s", code, tt.ExitCode, stderr.String())
			}
			match(t, "output", tt.ExpectedOutput, stdout.String())
			match(t, "error", tt.ExpectedError, stderr.String())
		})
	}
}

func match(t *testing.T, what string, patterns []string, text string) {
	t.Helper()
	for _, p := range patterns {
		if ok, err := regexp.MatchString(p, text); err != nil || !ok {
			t.Errorf("%s %q does not match %q (%v)", what, text, p, err)
		}
	}
}
