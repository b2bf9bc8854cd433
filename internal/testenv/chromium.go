package testenv

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/build-tracker/build-tracker/internal/testenv/servers"
)

// ChromiumVariable names the variable that says which program Chromium is. Set
// by internal/testenv/run.
const ChromiumVariable = "TEST_CHROMIUM_BIN"

// InstallChromium says how to get a Chromium, as a sentence.
const InstallChromium = "Install it (Debian: apt-get install chromium; macOS: brew install --cask chromium)," +
	" or name its program in " + ChromiumVariable + ". `make test-short` runs the tests that need none"

// Chromium returns the path of a Chromium or a Chrome, for a browser that
// belongs to the test. Under -short the test is skipped.
func Chromium(t testing.TB) string {
	t.Helper()
	skipShort(t, "Chromium")
	path, err := FindChromium(t.Context())
	if err != nil {
		t.Fatalf("%v. %s", err, InstallChromium)
	}
	return path
}

// FindChromium returns the path of a Chromium or a Chrome: the one that
// TEST_CHROMIUM_BIN names, else the first that runs of PATH and of where macOS
// puts them. servers.ErrNotFound when there is none.
func FindChromium(ctx context.Context) (string, error) {
	names := []string{os.Getenv(ChromiumVariable)}
	if names[0] == "" {
		names = []string{
			"chromium", "chromium-browser", "google-chrome", "google-chrome-stable",
			"/Applications/Chromium.app/Contents/MacOS/Chromium",
			"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
		}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil && isChromium(ctx, path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("Chromium: %w", servers.ErrNotFound)
}

// isChromium says whether a program runs and calls itself so. Ubuntu's
// chromium-browser, for one, may only say where to get it.
func isChromium(ctx context.Context, path string) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	return err == nil && strings.Contains(string(out), "Chrom")
}
