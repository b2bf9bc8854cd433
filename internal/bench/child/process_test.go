package child_test

import (
	"context"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/build-tracker/build-tracker/internal/bench/child"
)

// shell returns options that run a script as a server.
func shell(script string) child.Options {
	return child.Options{Path: "/bin/sh", Args: []string{"-c", script}}
}

const (
	listening = `echo '{"level":"INFO","msg":"listening","addr":"127.0.0.1:7"}' >&2; `
	// endsWell is to come first: who is asked before ends by the signal.
	endsWell = `trap 'exit 0' TERM; `
	forever  = `while :; do sleep 0.01; done`
)

func TestStartReturnsWhenTheServerListens(t *testing.T) {
	t.Parallel()
	p, err := child.Start(t.Context(), shell(endsWell+`echo 'a line that is no JSON' >&2; `+listening+`echo '{"msg":"ready, it says"}' >&2; `+forever))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	if p.Addr != "127.0.0.1:7" {
		t.Errorf("it listens at %q", p.Addr)
	}
	at, err := p.Said(t.Context(), "ready, it says")
	if err != nil || at.Before(p.Started) {
		t.Errorf("said at %s, %v", at, err)
	}
	if m, err := p.Memory(); runtime.GOOS == "linux" && (err != nil || m.Resident < 100_000 || m.Peak < m.Resident) {
		t.Errorf("memory %+v, %v", m, err)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(p.PID(), 0); err == nil {
		t.Error("the process is still there")
	}
}

func TestStartSaysWhyAServerDoesNotListen(t *testing.T) {
	t.Parallel()
	_, err := child.Start(t.Context(), shell(`echo 'no disk left' >&2; exit 3`))
	if err == nil || !strings.Contains(err.Error(), "no disk left") {
		t.Errorf("start: %v", err)
	}
}

func TestSaidEndsWithItsContext(t *testing.T) {
	t.Parallel()
	p, err := child.Start(t.Context(), shell(listening+forever))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := p.Said(ctx, "never said"); err == nil || !strings.Contains(err.Error(), "never said") {
		t.Errorf("said: %v", err)
	}
}

func TestStopTellsOfABadEnd(t *testing.T) {
	t.Parallel()
	p, err := child.Start(t.Context(), shell(`trap 'echo "not in order" >&2; exit 4' TERM; `+listening+forever))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(); err == nil || !strings.Contains(err.Error(), "exit code 4") || !strings.Contains(err.Error(), "not in order") {
		t.Errorf("stop: %v", err)
	}
}
