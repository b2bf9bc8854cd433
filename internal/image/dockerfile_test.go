package image_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/build-tracker/build-tracker/internal/image"
)

// The image that a container engine builds runs as the one that is built without.
func TestDockerfileSaysWhatTheImageSays(t *testing.T) {
	t.Parallel()
	got := v1.Config{ExposedPorts: map[string]struct{}{}, Volumes: map[string]struct{}{}, Labels: map[string]string{}}
	for _, step := range lastStage(t) {
		switch step.name {
		case "USER":
			got.User = step.rest
		case "ENTRYPOINT":
			got.Entrypoint = list(t, step.rest)
		case "CMD":
			got.Cmd = list(t, step.rest)
		case "EXPOSE":
			got.ExposedPorts[step.rest+"/tcp"] = struct{}{}
		case "VOLUME":
			for _, v := range list(t, step.rest) {
				got.Volumes[v] = struct{}{}
			}
		case "ENV":
			for _, kv := range pairs(step.rest) {
				got.Env = append(got.Env, kv[0]+"="+kv[1])
			}
		case "LABEL":
			for _, kv := range pairs(step.rest) {
				got.Labels[kv[0]] = kv[1]
			}
		case "FROM", "COPY", "ARG":
		default:
			t.Errorf("the test does not know %s", step.name)
		}
	}
	want := image.Config("${VERSION}", "${COMMIT}")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("configuration (-make image +Dockerfile):\n%s", diff)
	}
}

func TestDockerfileBuildsWithTheModulesGo(t *testing.T) {
	t.Parallel()
	module := read(t, "go.mod")
	goVersion := regexp.MustCompile(`(?m)^go (\S+)$`).FindStringSubmatch(module)
	if goVersion == nil {
		t.Fatal("go.mod names no version of Go")
	}
	if want := "ARG GO_VERSION=" + goVersion[1] + "\n"; !strings.Contains(read(t, "Dockerfile"), want) {
		t.Errorf("the Dockerfile lacks %q, which is the version in go.mod", want)
	}
}

// step is one instruction of a Dockerfile.
type step struct{ name, rest string }

// lastStage returns the instructions that make the image itself.
func lastStage(t *testing.T) []step {
	t.Helper()
	text := regexp.MustCompile(`(?m)^\s*#.*\n`).ReplaceAllString(read(t, "Dockerfile"), "")
	text = strings.ReplaceAll(text, "\\\n", "")
	var stage []step
	for line := range strings.Lines(text) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == "FROM" {
			stage = nil
		}
		if name != "" {
			stage = append(stage, step{name, strings.TrimSpace(rest)})
		}
	}
	return stage
}

// pairs reads KEY="VALUE" KEY="VALUE".
func pairs(text string) [][2]string {
	var found [][2]string
	for _, m := range regexp.MustCompile(`([\w.]+)="([^"]*)"`).FindAllStringSubmatch(text, -1) {
		found = append(found, [2]string{m[1], m[2]})
	}
	return found
}

// list reads a JSON list.
func list(t *testing.T, text string) []string {
	t.Helper()
	var items []string
	if err := json.Unmarshal([]byte(text), &items); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return items
}

// read returns a file of the module's root.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
