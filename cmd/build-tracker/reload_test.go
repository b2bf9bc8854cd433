package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// settingsFile writes a configuration file, at once.
func settingsFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// says waits until the log has a line with all these texts.
func (p *process) says(t *testing.T, texts ...string) {
	t.Helper()
	wait(t, func() bool {
		for line := range strings.Lines(p.logged()) {
			all := true
			for _, text := range texts {
				all = all && strings.Contains(line, text)
			}
			if all {
				return true
			}
		}
		if p.ended() {
			t.Fatalf("the server ended:\n%s", p.logged())
		}
		return false
	})
}

// A changed file is noticed by itself, a hang-up reads it at once, and neither
// a wrong file nor a hang-up ends the server.
func TestServerReadsItsFileAgain(t *testing.T) {
	t.Parallel()
	const ok = "buildtracker_config_last_reload_successful"
	path := filepath.Join(t.TempDir(), "tracker.yaml")
	settingsFile(t, path, "log_level: info\n")
	p := startProcess(t, "BUILDTRACKER_CONFIG="+path)
	settingsFile(t, path, "log_level: loud\nwings: 2\n")
	p.says(t, `"level":"ERROR"`, "refused", path+`:2:1: `)
	if got := metric(p.url, ok); got != 0 {
		t.Errorf("%s %v, want 0", ok, got)
	}
	settingsFile(t, path, "log_level: debug\nexternal_url: https://ci.example.com\n")
	p.signal(syscall.SIGHUP)
	p.says(t, `"level":"INFO"`, "is in force")
	p.says(t, `"level":"WARN"`, "restart", `["external_url"]`)
	if got := metric(p.url, ok); got != 1 {
		t.Errorf("%s %v, want 1", ok, got)
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestHangUpWithoutAFileEndsNothing(t *testing.T) {
	t.Parallel()
	p := startProcess(t)
	p.signal(syscall.SIGHUP)
	p.says(t, "no configuration file")
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
