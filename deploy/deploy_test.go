// Package deploy_test holds what is in this folder to the program and to itself:
// a variable that the program does not read would be ignored, and nobody told.
package deploy_test

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/build-tracker/build-tracker/config"
)

// read returns a file, by its path from this folder.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// decode reads a YAML file; JSON is YAML too.
func decode[T any](t *testing.T, path string) T {
	t.Helper()
	var v T
	if err := yaml.Unmarshal([]byte(read(t, path)), &v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return v
}

// known fails the test for a variable that no command reads.
func known(t *testing.T, where, name string) {
	t.Helper()
	if !slices.ContainsFunc(config.Variables(), func(v config.Variable) bool { return v.Name == name }) {
		t.Errorf("%s sets %s, which the program does not read", where, name)
	}
}

// drain returns how long the server takes at most to finish what is under way.
func drain(t *testing.T) time.Duration {
	t.Helper()
	m := regexp.MustCompile(`drainTimeout += (\d+) \* time.Second`).FindStringSubmatch(read(t, "../server.go"))
	if m == nil {
		t.Fatal("server.go has no drainTimeout in seconds")
	}
	return seconds(t, m[1])
}

func seconds(t *testing.T, text string) time.Duration {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(n) * time.Second
}

// find returns what a pattern's one group matches.
func find(t *testing.T, text, pattern string) string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("nothing matches %s", pattern)
	}
	return m[1]
}

type compose struct {
	Services map[string]struct {
		Environment     map[string]string `yaml:"environment"`
		Secrets         []string          `yaml:"secrets"`
		StopGracePeriod string            `yaml:"stop_grace_period"`
	} `yaml:"services"`
	Secrets map[string]any `yaml:"secrets"`
}

func TestCompose(t *testing.T) {
	t.Parallel()
	file := decode[compose](t, "docker-compose.yaml")
	service := file.Services["build-tracker"]
	if len(service.Environment) == 0 {
		t.Fatal("docker-compose.yaml sets no variable")
	}
	for name := range service.Environment {
		known(t, "docker-compose.yaml", name)
	}
	for name, s := range file.Services {
		for _, secret := range s.Secrets {
			if _, ok := file.Secrets[secret]; !ok {
				t.Errorf("%s uses the secret %s, which is none of the file's", name, secret)
			}
			if !strings.Contains(read(t, "docker-compose.yaml"), "secrets/"+secret) {
				t.Errorf("nothing says how to make the secret %s", secret)
			}
		}
		for variable, value := range s.Environment {
			secret, isFile := strings.CutPrefix(value, "/run/secrets/")
			if strings.HasSuffix(variable, "_FILE") && (!isFile || !slices.Contains(s.Secrets, secret)) {
				t.Errorf("%s reads %s from %s, which is none of its secrets", name, variable, value)
			}
		}
	}
	if stop, err := time.ParseDuration(service.StopGracePeriod); err != nil || stop <= drain(t) {
		t.Errorf("stop_grace_period is %q, want more than %s", service.StopGracePeriod, drain(t))
	}
}

func TestUnit(t *testing.T) {
	t.Parallel()
	text := read(t, "systemd/build-tracker.service")
	credentials := map[string]bool{}
	for _, m := range regexp.MustCompile(`LoadCredential=([\w-]+):`).FindAllStringSubmatch(text, -1) {
		credentials[m[1]] = true
	}
	// Those in the comment, too: they are meant to be copied.
	lines := regexp.MustCompile(`(?m)^(?:#  )? ?Environment=(.*)$`).FindAllStringSubmatch(text, -1)
	if len(lines) < 5 {
		t.Fatalf("only %d lines set variables", len(lines))
	}
	for _, line := range lines {
		for _, setting := range strings.Fields(line[1]) {
			name, value, _ := strings.Cut(setting, "=")
			known(t, "build-tracker.service", name)
			if credential, ok := strings.CutPrefix(value, "%d/"); ok != strings.HasSuffix(name, "_FILE") || ok && !credentials[credential] {
				t.Errorf("%s is %s, which is no credential of the unit", name, value)
			}
		}
	}
	if stop := seconds(t, find(t, text, `(?m)^TimeoutStopSec=(\d+)$`)); stop <= drain(t) {
		t.Errorf("TimeoutStopSec is %s, want more than %s", stop, drain(t))
	}
}
