package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// execute runs the command to its end and returns its exit code: 128 and the
// signal's number when a signal ended it. Signals go on to the command and all
// that it started; the second one kills them.
func execute(args, env []string, signals <-chan os.Signal) (int, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return 1, fmt.Errorf("start %s: %w", args[0], err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for again := false; ; {
		select {
		case s := <-signals:
			sig, ok := s.(syscall.Signal)
			if again || !ok {
				sig = syscall.SIGKILL
			}
			again = true
			_ = syscall.Kill(-cmd.Process.Pid, sig) // the only error is that they have ended
		case err := <-ended:
			return exitCode(err)
		}
	}
}

func exitCode(err error) (int, error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case !errors.As(err, &exit):
		return 1, err
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return exit.ExitCode(), nil
}
