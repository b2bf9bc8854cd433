package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// Postgres is a PostgreSQL server of one's own. Its methods are not for
// concurrent use.
type Postgres struct {
	bin, dir string
	port     int
	as       *syscall.Credential
	process  *process // nil while it is down
}

// NewPostgres makes a database cluster in a new folder inside dir and starts a
// server on it, with the programs of the folder bin. Every folder above must be
// open to the user that PostgreSQL runs as.
func NewPostgres(ctx context.Context, bin, dir string) (*Postgres, error) {
	as, err := unprivileged()
	if err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	home, err := os.MkdirTemp(dir, "postgres-")
	if err != nil {
		return nil, fmt.Errorf("new PostgreSQL: %w", err)
	}
	if as != nil {
		if err := os.Chown(home, int(as.Uid), int(as.Gid)); err != nil {
			return nil, fmt.Errorf("new PostgreSQL: %w", err)
		}
	}
	p := &Postgres{bin: bin, dir: home, port: port, as: as}
	initdb := p.command(ctx, "initdb", "--pgdata", p.data(), "--username=postgres", "--auth=trust",
		"--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions")
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if err := p.Start(ctx); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// URL is where the server is, whether it runs or not: a superuser, without a
// password, on the database postgres.
func (p *Postgres) URL() string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", p.port)
}

// Start starts a stopped server on the same port, and returns when it answers.
func (p *Postgres) Start(ctx context.Context) error {
	if p.process != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := p.startOnce(ctx)
		// After a kill the kernel may need a moment to take down the old
		// backends; until then a new server refuses.
		if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "pre-existing shared memory block") {
			return err
		}
	}
}

func (p *Postgres) startOnce(ctx context.Context) error {
	// The command outlives ctx, which bounds the start alone.
	cmd := p.command(context.WithoutCancel(ctx), "postgres", "-D", p.data(),
		"-c", "listen_addresses=127.0.0.1", "-c", "port="+strconv.Itoa(p.port),
		"-c", "unix_socket_directories=", "-c", "shared_buffers=128MB", "-c", "max_connections=300")
	// An immediate shutdown: the postmaster takes its backends and its shared
	// memory with it.
	process, err := start(cmd, filepath.Join(p.dir, "log"), syscall.SIGQUIT)
	if err != nil {
		return err
	}
	if err := process.ready(ctx, func(ctx context.Context) error { return PingPostgres(ctx, p.URL()) }); err != nil {
		process.kill()
		return err
	}
	p.process = process
	return nil
}

// Stop shuts the server down: sessions are cut, what was committed is kept.
func (p *Postgres) Stop() error {
	if p.process == nil {
		return nil
	}
	err := p.process.stop(syscall.SIGINT)
	p.process = nil
	return err
}

// Kill ends the server and all its sessions at once, as a power cut of the
// server alone would.
func (p *Postgres) Kill() {
	if p.process == nil {
		return
	}
	// Stopped, the postmaster starts no session after we have listed them.
	_ = p.process.cmd.Process.Signal(syscall.SIGSTOP)
	for _, pid := range children(p.process.cmd.Process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	p.process.kill()
	p.process = nil
}

// Close stops the server and removes its files.
func (p *Postgres) Close() error {
	var err error
	if p.process != nil {
		err = p.process.stop(syscall.SIGQUIT) // at once: nobody needs the data
		p.process = nil
	}
	if removeErr := os.RemoveAll(p.dir); removeErr != nil {
		err = errors.Join(err, fmt.Errorf("remove PostgreSQL's files: %w", removeErr))
	}
	return err
}

func (p *Postgres) data() string { return filepath.Join(p.dir, "data") }

func (p *Postgres) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, program), args...)
	cmd.Dir = p.dir
	// PG… variables of the caller would change what the programs do.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "HOME=" + p.dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.as}
	return cmd
}

// PingPostgres says whether a PostgreSQL server of a supported version answers
// at url.
func PingPostgres(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var n int
	if err := conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int / 10000").Scan(&n); err != nil {
		return fmt.Errorf("ask PostgreSQL for its version: %w", err)
	}
	if n < minPostgres {
		return fmt.Errorf("PostgreSQL %d is too old: %d or newer is needed", n, minPostgres)
	}
	return nil
}
