package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// How long a server may take to answer, and to end when asked.
const (
	startTimeout = 60 * time.Second
	stopTimeout  = 60 * time.Second
)

// process is one run of a server program.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed after the process was waited for
}

// start runs cmd with its output in the file log. The process ends with ours:
// Linux sends it death when our thread dies, so that thread lives as long.
func start(cmd *exec.Cmd, log string, death syscall.Signal) (*process, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	// A group of its own: a Ctrl-C at the terminal is for the tests, and the
	// servers end after them.
	cmd.SysProcAttr.Setpgid = true
	dieWithParent(cmd.SysProcAttr, death)

	p := &process{cmd: cmd, log: log, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		// How it ended does not matter: a server that is gone too soon is seen
		// by who waits for its answer.
		_ = cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return p, nil
}

// ready waits until check is content. It fails when the process or ctx ends first.
func (p *process) ready(ctx context.Context, check func(context.Context) error) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.done:
			return fmt.Errorf("%s ended at its start:\n%s", p.cmd.Path, p.tail())
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w\n%s", p.cmd.Path, err, p.tail())
		}
	}
}

// stop sends sig and waits for the end; what does not end is killed.
func (p *process) stop(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.cmd.Path, err)
	}
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
		p.kill()
		return fmt.Errorf("stop %s: did not end and was killed\n%s", p.cmd.Path, p.tail())
	}
}

// kill ends the process at once and waits for it.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // the only error is that it has ended
	<-p.done
}

// tail returns the end of the server's log, for messages.
func (p *process) tail() []byte {
	const size = 2000
	b, err := os.ReadFile(p.log)
	if err != nil {
		return []byte(err.Error())
	}
	return bytes.TrimSpace(b[max(0, len(b)-size):])
}
