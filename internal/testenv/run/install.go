package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/build-tracker/build-tracker/internal/testenv"
	"github.com/build-tracker/build-tracker/internal/testenv/servers"
)

// programs finds PostgreSQL's programs and redis-server, and installs what is
// missing where it may. Tests need the programs even if the URLs name servers:
// they stop and kill servers of their own.
func programs(ctx context.Context) (postgresBin, redisBin string, err error) {
	find := func() error {
		var postgresErr, redisErr error
		postgresBin, postgresErr = servers.FindPostgres(ctx)
		redisBin, redisErr = servers.FindRedis(ctx)
		return errors.Join(postgresErr, redisErr)
	}
	if err = find(); err == nil {
		return postgresBin, redisBin, nil
	}
	var packages []string
	if postgresBin == "" {
		packages = append(packages, "postgresql")
	}
	if redisBin == "" {
		packages = append(packages, "redis-server")
	}
	if installErr := install(ctx, packages); installErr != nil {
		err = errors.Join(err, installErr)
	} else {
		err = find()
	}
	if err != nil {
		err = fmt.Errorf("%w\nInstall them (Debian: apt-get install %s; macOS: brew install postgresql@17 redis),"+
			" or name their places in TEST_POSTGRES_BIN (a folder) and TEST_REDIS_BIN (the program)."+
			" `make test-short` runs the tests that need neither", err, strings.Join(packages, " "))
	}
	return postgresBin, redisBin, err
}

// compiler installs a C compiler where there is none: Go's race detector needs
// one, and a machine with Go has not always.
func compiler(ctx context.Context) error {
	name := cmp.Or(os.Getenv("CC"), "gcc")
	if _, err := exec.LookPath(name); err == nil {
		return nil
	}
	if err := install(ctx, []string{"gcc", "libc6-dev"}); err != nil {
		return fmt.Errorf("-race needs a C compiler, and there is no %s: %w\nInstall one (Debian: apt-get install gcc libc6-dev)", name, err)
	}
	return nil
}

// chromium finds Chromium, and installs it where it may: tests drive one.
func chromium(ctx context.Context) (path string, err error) {
	if path, err = testenv.FindChromium(ctx); err == nil {
		return path, nil
	}
	if installErr := install(ctx, []string{"chromium"}); installErr != nil {
		err = errors.Join(err, installErr)
	} else {
		path, err = testenv.FindChromium(ctx)
	}
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, testenv.InstallChromium)
	}
	return path, err
}

// policy is where Debian's packages ask whether they may start a service.
const policy = "/usr/sbin/policy-rc.d"

// install installs Debian packages without starting the services in them.
func install(ctx context.Context, packages []string) (err error) {
	apt, err := exec.LookPath("apt-get")
	if err != nil || os.Geteuid() != 0 {
		return errors.New("cannot install them: that takes root, and apt-get")
	}
	fmt.Fprintln(os.Stderr, "testenv: installing", strings.Join(packages, ", "))
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	forbidden, err := forbidServices()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, forbidden()) }()
	for _, args := range [][]string{
		{"update"},
		append([]string{"install", "--yes", "--no-install-recommends"}, packages...),
	} {
		cmd := exec.CommandContext(ctx, apt, append([]string{"-qq", "-o", "DPkg::Lock::Timeout=300"}, args...)...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, out)
		}
	}
	return nil
}

// forbidServices has Debian start no service until allow is called. A policy
// that is there already stays as it is.
func forbidServices() (allow func() error, err error) {
	f, err := os.OpenFile(policy, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if errors.Is(err, os.ErrExist) {
		return func() error { return nil }, nil
	}
	if err != nil {
		return nil, fmt.Errorf("keep services from starting: %w", err)
	}
	_, err = f.WriteString("#!/bin/sh\nexit 101\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("keep services from starting: %w", err), os.Remove(policy))
	}
	return func() error { return os.Remove(policy) }, nil
}
