package buildtracker_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestBazelUsesTheModulesOfGoMod: MODULE.bazel names each module that go.mod
// requires directly, as `bazel mod tidy` writes it.
func TestBazelUsesTheModulesOfGoMod(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json").Output()
	if err != nil {
		t.Fatalf("go mod edit: %v", err)
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, r := range mod.Require {
		if !r.Indirect {
			want = append(want, repository(r.Path))
		}
	}
	slices.Sort(want)

	text, err := os.ReadFile("MODULE.bazel")
	if err != nil {
		t.Fatal(err)
	}
	use := regexp.MustCompile(`(?s)use_repo\(\s*go_deps,(.*?)\)`).FindSubmatch(text)
	if use == nil {
		t.Fatal("MODULE.bazel has no use_repo of go_deps")
	}
	var got []string
	for _, m := range regexp.MustCompile(`"([^"]+)"`).FindAllSubmatch(use[1], -1) {
		got = append(got, string(m[1]))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("use_repo in MODULE.bazel (-go.mod +MODULE.bazel):\n%s", diff)
	}
}

// repository is what Gazelle calls a module: its host backwards, and what is no
// letter or digit as _.
func repository(path string) string {
	host, rest, _ := strings.Cut(strings.ToLower(path), "/")
	labels := strings.Split(host, ".")
	slices.Reverse(labels)
	name := strings.Join(labels, "_") + "_" + rest
	return regexp.MustCompile(`[^a-z0-9]`).ReplaceAllString(name, "_")
}
