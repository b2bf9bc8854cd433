package buildtracker_test

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/build-tracker/build-tracker"

// TestImportsRunOneWay holds what ARCHITECTURE says of who imports whom. Tests
// are free.
func TestImportsRunOneWay(t *testing.T) {
	t.Parallel()
	// Of ours, by the first element of the path; "" is the root package. Who
	// is not here imports what it likes.
	mayImport := map[string][]string{
		"build":     {},
		"stream":    {},
		"config":    {},
		"bus":       {},
		"buildkite": {"build"},
		"analytics": {"build", "buildkite", "stream"},
		"notify":    {"build"},
		"stats":     {"build"},
		"db":        {"build", "stream"},
		"cmd":       {"", "buildkite", "config", "internal/simulate"},

		"internal/simulate": {},
	}
	// Of others' modules, who imports them.
	mayBeImportedBy := map[string][]string{
		"github.com/redis/go-redis":     {"", "build", "internal"},
		"github.com/go-redsync/redsync": {"", "build", "internal"},
		"github.com/alicebob/miniredis": {"", "build"},
		"github.com/jackc/pgx":          {"db", "stream", "internal"},
		"modernc.org/sqlite":            {"db"},
		"database/sql":                  {"db"},
		"github.com/riverqueue/river":   {"db"},
		"cloud.google.com/go/bigquery":  {"", "internal"},
		"github.com/parquet-go":         {""},
		"github.com/slack-go/slack":     {"notify"},
		"github.com/buildkite":          {"buildkite", "internal"},
		"go.opentelemetry.io/otel":      {""},
	}
	for pkg, imports := range importsByPackage(t) {
		from := area(pkg)
		for _, imported := range imports {
			if strings.HasPrefix(imported+"/", module+"/") {
				to := area(imported)
				if allowed, ok := mayImport[from]; ok && to != from && !slices.Contains(allowed, to) {
					t.Errorf("%s imports %s", pkg, imported)
				}
				continue
			}
			for prefix, allowed := range mayBeImportedBy {
				if strings.HasPrefix(imported+"/", prefix+"/") && !slices.Contains(allowed, from) {
					t.Errorf("%s imports %s", pkg, imported)
				}
			}
		}
	}
}

// area is the first element of a package's path in the module, "" for the root.
// The simulation, which is internal and part of the program, is one of its own.
func area(pkg string) string {
	path := strings.TrimPrefix(strings.TrimPrefix(pkg, module), "/")
	if path == "internal/simulate" {
		return path
	}
	first, _, _ := strings.Cut(path, "/")
	return first
}

func importsByPackage(t *testing.T) map[string][]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	imports := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		imports[fields[0]] = fields[1:]
	}
	if len(imports) < 5 {
		t.Fatalf("go list names only %d packages", len(imports))
	}
	return imports
}
