package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/build-tracker/build-tracker/internal/testenv"
	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
)

// process is a build-tracker that runs as a process of its own.
type process struct {
	t    testing.TB
	cmd  *exec.Cmd
	url  string
	done chan struct{} // closed when it has ended

	mu  sync.Mutex
	log strings.Builder
}

// program returns a path at which this test binary is build-tracker: TestMain
// goes by the name.
func program(t testing.TB) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "build-tracker")
	if err := os.Symlink(exe, link); err != nil {
		t.Fatal(err)
	}
	return link
}

// startProcess starts a command of the program and returns when it listens.
func startProcess(t testing.TB, env ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(program(t), "serve"), done: make(chan struct{})}
	p.cmd.Dir = t.TempDir()
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "LISTEN_ADDR=127.0.0.1:0", "LOG_FORMAT=json", "GORACE=atexit_sleep_ms=0"}, env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	listening := make(chan string, 1)
	go p.read(stderr, listening)
	t.Cleanup(func() {
		if t.Failed() {
			_ = p.cmd.Process.Signal(syscall.SIGQUIT) // for its goroutines
			select {
			case <-p.done:
			case <-time.After(5 * time.Second):
			}
		}
		p.kill()
		if t.Failed() {
			t.Logf("log of %s:\n%s", p.url, tail(p.logged(), 200000))
		}
	})
	select {
	case addr := <-listening:
		p.url = "http://" + addr
	case <-p.done:
		t.Fatalf("the server ended before it listened:\n%s", p.logged())
	case <-time.After(time.Minute):
		t.Fatalf("the server does not listen after a minute:\n%s", p.logged())
	}
	return p
}

// read keeps the log, and ends when the process does.
func (p *process) read(stderr io.Reader, listening chan<- string) {
	defer close(p.done)
	lines := bufio.NewReader(stderr)
	for {
		line, err := lines.ReadString('\n')
		p.mu.Lock()
		p.log.WriteString(line)
		p.mu.Unlock()
		var entry struct{ Msg, Addr string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "listening" {
			listening <- entry.Addr
		}
		if err != nil {
			_ = p.cmd.Wait() // its exit code is read elsewhere
			return
		}
	}
}

func (p *process) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// kill ends the process at once, as a power cut would.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// signal sends a signal.
func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// stop asks the process to end and returns its exit code.
func (p *process) stop() int {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // for its goroutines
		<-p.done
		p.t.Fatalf("the server does not end:\n%s", p.logged())
	}
	return p.cmd.ProcessState.ExitCode()
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

// pair is a pair of stores, as environment of servers.
type pair struct {
	name string
	env  []string
}

// eachPair runs a test on the embedded stores and on PostgreSQL and Redis.
func eachPair(t *testing.T, test func(t *testing.T, stores pair)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, pair{"embedded", []string{"DATA_DIR=" + t.TempDir()}})
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, pair{"postgres", []string{"DATABASE_URL=" + testenv.Postgres(t), "REDIS_URL=" + testenv.Redis(t)}})
	})
}

// newSlack starts a Slack that takes messages as fast as they come, and
// returns it with the environment of a server that talks to it.
func newSlack(t *testing.T) (*testenv.Slack, []string) {
	t.Helper()
	slack := testenv.NewSlack(t, testenv.SlackOptions{Burst: -1})
	return slack, []string{"SLACK_TOKEN=" + slack.Token(), "SLACK_CHANNEL=C0BUILDS01", "SLACK_API_URL=" + slack.URL()}
}

// said returns what the channel shows.
func said(slack *testenv.Slack) []traffic.Said {
	var out []traffic.Said
	for _, m := range slack.Messages() {
		out = append(out, traffic.Said{BuildID: fmt.Sprint(m.Metadata.EventPayload["build_id"]), Text: m.Text})
	}
	return out
}
