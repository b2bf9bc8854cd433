package main

import (
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// With -update, the golden files in the scripts are written anew.
var update = flag.Bool("update", false, "write the golden files in the scripts anew")

// The scripts are what a person types and sees, a command a script.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
		Setup: func(env *testscript.Env) error {
			// Under -race each process would wait a second at its end.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			env.Values[scripted{}] = &scripted{t: env.T().(testing.TB)}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exitcode":   exitCode,
			"buildkite":  fakeBuildkite,
			"serve":      serve,
			"get":        get,
			"stopserver": stop,
		},
	})
}

// scripted is what a script has running.
type scripted struct {
	t      testing.TB
	server *process // the one that was started last
}

func of(ts *testscript.TestScript) *scripted { return ts.Value(scripted{}).(*scripted) }

// exitCode runs a command that has to end with a given exit code:
// exitcode CODE PROGRAM [ARGUMENT…].
func exitCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exitcode CODE PROGRAM [ARGUMENT…]")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = strconv.Itoa(exit.ExitCode())
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != args[0] {
		ts.Fatalf("%s exits with %s, want %s", args[1], got, args[0])
	}
}

// serve starts a server on a free port, and has BUILDTRACKER_URL say where it
// listens: serve [NAME=VALUE…].
func serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: serve [NAME=VALUE…]")
	}
	s := of(ts)
	s.server = startProcess(s.t, args...)
	ts.Setenv("BUILDTRACKER_URL", s.server.url)
}

// get asks the server, until its answer is 200 and matches, and prints it:
// get PATH PATTERN.
func get(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: get PATH PATTERN")
	}
	pattern, err := regexp.Compile(args[1])
	ts.Check(err)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	status, body := of(ts).server.ask(args[0])
	for status != http.StatusOK || !pattern.MatchString(body) {
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("%s still answers %d: %s", args[0], status, body)
		}
		status, body = of(ts).server.ask(args[0])
	}
	_, err = ts.Stdout().Write([]byte(body))
	ts.Check(err)
}

// stop is stopserver: it interrupts the server as Ctrl-C does, which has to end it in order, and
// prints its log to stderr.
func stop(ts *testscript.TestScript, neg bool, args []string) {
	s := of(ts)
	if neg || len(args) > 0 || s.server == nil {
		ts.Fatalf("usage: stopserver, after serve")
	}
	s.server.signal(os.Interrupt)
	select {
	case <-s.server.done:
	case <-time.After(time.Minute):
		ts.Fatalf("the server does not end after a minute")
	}
	_, err := ts.Stderr().Write([]byte(s.server.logged()))
	ts.Check(err)
	if code := s.server.cmd.ProcessState.ExitCode(); code != 0 {
		ts.Fatalf("the server exits with %d, want 0", code)
	}
}

// ask returns what the server answers at a path: a status code, 0 when there is
// no answer, and a body.
func (p *process) ask(path string) (int, string) {
	res, err := asker.Get(p.url + path)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(body)
}
