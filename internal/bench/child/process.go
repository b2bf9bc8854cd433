// Package child runs the servers under test as processes of their own, which
// end with this one however it ends.
package child

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// How long a server may take to listen, and to end when asked.
const (
	startTimeout = 60 * time.Second
	stopTimeout  = 30 * time.Second
)

// Options say what to run. The program logs JSON lines to its standard error,
// one of them with the message "listening" and the field addr.
type Options struct {
	Path string
	Args []string
	// Env is all of its environment but PATH and HOME.
	Env []string
	// Dir is its working folder.
	Dir string
}

// Process is a server that listens.
type Process struct {
	// Addr is where, as host:port.
	Addr string
	// Started is when the process was asked for.
	Started time.Time

	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended

	mu   sync.Mutex
	said map[string]time.Time // by message of its log, the first time
	tail []byte               // the end of its log
	news chan struct{}        // closed at the next new message
}

// Start starts a server and returns when it listens.
func Start(ctx context.Context, o Options) (*Process, error) {
	p := &Process{
		cmd:  exec.Command(o.Path, o.Args...),
		done: make(chan struct{}), said: make(map[string]time.Time), news: make(chan struct{}),
	}
	p.cmd.Dir = o.Dir
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, o.Env...)
	// A group of its own: a Ctrl-C at the terminal is for us, and we end it.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(p.cmd.SysProcAttr)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", o.Path, err)
	}
	p.Started = time.Now()
	if err := p.launch(stderr); err != nil {
		return nil, fmt.Errorf("start %s: %w", o.Path, err)
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if _, err := p.Said(ctx, "listening"); err != nil {
		p.Kill()
		return nil, fmt.Errorf("start %s: %w", o.Path, err)
	}
	return p, nil
}

// launch starts the process from a thread that lives as long as it does: on
// Linux the process is killed when that thread ends.
func (p *Process) launch(stderr io.Reader) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.read(stderr)
		// How it ended is for who waits for its answers.
		_ = p.cmd.Wait()
		close(p.done)
	}()
	return <-started
}

// read follows the log until the process ends.
func (p *Process) read(log io.Reader) {
	lines := bufio.NewReaderSize(log, 64<<10)
	for {
		line, err := lines.ReadSlice('\n')
		if len(line) > 0 {
			p.note(line)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// note keeps what a line says. There are few messages: they have no data in them.
func (p *Process) note(line []byte) {
	const keep, messages = 4 << 10, 1000
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tail = append(p.tail, line...)
	if len(p.tail) > 2*keep {
		p.tail = append(p.tail[:0], p.tail[len(p.tail)-keep:]...)
	}
	message := messageOf(line)
	if _, known := p.said[message]; known || message == "" || len(p.said) >= messages {
		return
	}
	p.said[message] = time.Now()
	if message == "listening" {
		var entry struct{ Addr string }
		if json.Unmarshal(line, &entry) == nil {
			p.Addr = entry.Addr
		}
	}
	close(p.news)
	p.news = make(chan struct{})
}

// messageOf cuts the message out of a line of slog's JSON; messages need no escapes.
func messageOf(line []byte) string {
	_, after, _ := bytes.Cut(line, []byte(`"msg":"`))
	message, _, _ := bytes.Cut(after, []byte(`"`))
	return string(message)
}

// Said returns when the process first logged a message, and waits for it.
func (p *Process) Said(ctx context.Context, message string) (time.Time, error) {
	for {
		p.mu.Lock()
		at, said := p.said[message]
		news := p.news
		p.mu.Unlock()
		if said {
			return at, nil
		}
		select {
		case <-news:
		case <-p.done:
			return time.Time{}, fmt.Errorf("it ended before it logged %q:\n%s", message, p.Log())
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("it did not log %q: %w\n%s", message, context.Cause(ctx), p.Log())
		}
	}
}

// Log returns the end of what the process logged.
func (p *Process) Log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(bytes.TrimSpace(p.tail))
}

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Stop asks the process to end and waits for that; what does not end is killed.
func (p *Process) Stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.cmd.Path, err)
	}
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		p.Kill()
		return fmt.Errorf("stop %s: it did not end and was killed:\n%s", p.cmd.Path, p.Log())
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("stop %s: exit code %d:\n%s", p.cmd.Path, code, p.Log())
	}
	return nil
}

// Kill ends the process at once and waits for it.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // the only error is that it has ended
	<-p.done
}
