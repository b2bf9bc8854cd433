// Package testenv gives tests real PostgreSQL and Redis servers. Those that a
// test only reads and writes come from the surroundings that
// internal/testenv/run sets up; those that it stops or kills are its own.
package testenv

import (
	"errors"
	"os"
	"testing"
)

// FolderVariable names the variable that says where private servers keep their
// files. Set by internal/testenv/run, which removes them; the system's folder
// for temporary files without it.
const FolderVariable = "TEST_SERVERS_DIR"

func skipShort(t testing.TB, what string) {
	t.Helper()
	if testing.Short() {
		t.Skipf("needs a real %s; left out under -short", what)
	}
}

// tempDir returns a folder for the files of private servers. Not t.TempDir:
// root runs PostgreSQL as another user, who has no way through that.
func tempDir(t testing.TB) string {
	t.Helper()
	parent := os.Getenv(FolderVariable)
	dir, err := os.MkdirTemp(parent, "build-tracker-test-") //nolint:usetesting // see above
	if err == nil {
		t.Cleanup(func() {
			if err := os.RemoveAll(dir); err != nil {
				t.Error(err)
			}
		})
		err = os.Chmod(dir, 0o755)
	}
	if errors.Is(err, os.ErrNotExist) {
		t.Fatalf("%s names no folder: %v", FolderVariable, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
