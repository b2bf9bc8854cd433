// Command run runs a command, `go test` mostly, with a real PostgreSQL and a
// real Redis around it:
//
//	go run ./internal/testenv/run -- go test -race ./...
//
// The command finds them in DATABASE_URL and REDIS_URL. What these name already
// is used; else servers are started on free ports with their files in a
// temporary folder, and stopped when the command has ended, however it ended.
// Their programs are looked for (TEST_POSTGRES_BIN, TEST_REDIS_BIN, PATH and
// the usual folders) and, for root on Debian, installed. So is, for `go test`,
// the Chromium that tests drive (TEST_CHROMIUM_BIN). Run exits with the
// command's exit code, or with 1 when one of them is not to be had.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

func main() {
	args := os.Args[1:]
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "usage: run [--] COMMAND [ARGUMENT…]")
		os.Exit(2)
	}
	code, err := run(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testenv:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

// run returns the exit code of the command.
func run(args []string) (code int, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go terminateWithParent(ctx, signals)

	// Until the command runs, a signal ends what is being prepared.
	preparing, prepared := context.WithCancel(ctx)
	defer prepared()
	interrupted := make(chan error, 1)
	go func() {
		select {
		case s := <-signals:
			interrupted <- fmt.Errorf("%s", s)
			cancel()
		case <-preparing.Done():
			interrupted <- nil
		}
	}()

	env, err := newEnvironment(ctx)
	defer func() { err = errors.Join(err, env.close()) }()
	if err == nil && slices.Contains(args, "test") {
		err = env.browser(ctx)
	}
	if err == nil && slices.Contains(args, "-race") {
		err = compiler(ctx)
	}
	prepared()
	if cause := <-interrupted; cause != nil {
		return 1, cause
	}
	if err != nil {
		return 1, err
	}
	return execute(args, env.variables, signals)
}

// terminateWithParent sends SIGTERM to signals when our parent is gone: `go
// run` dies of a signal without handing it on.
func terminateWithParent(ctx context.Context, signals chan<- os.Signal) {
	parent := os.Getppid()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if os.Getppid() != parent {
				signals <- syscall.SIGTERM
				return
			}
		}
	}
}
