package servers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Redis is a Redis server of one's own. It keeps nothing: after a stop it
// comes back empty, unless a dump is restored. Its methods are not for
// concurrent use.
type Redis struct {
	bin, dir string
	port     int
	process  *process // nil while it is down
}

// NewRedis starts the program bin, with its files in a new folder inside dir.
func NewRedis(ctx context.Context, bin, dir string) (*Redis, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	home, err := os.MkdirTemp(dir, "redis-")
	if err != nil {
		return nil, fmt.Errorf("new Redis: %w", err)
	}
	r := &Redis{bin: bin, dir: home, port: port}
	if err := r.Start(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Addr is where the server is, whether it runs or not, as host:port.
func (r *Redis) Addr() string { return fmt.Sprintf("127.0.0.1:%d", r.port) }

// URL is Addr as a redis:// URL.
func (r *Redis) URL() string { return "redis://" + r.Addr() + "/0" }

// Start starts a stopped server on the same port, and returns when it answers.
func (r *Redis) Start(ctx context.Context) error {
	if r.process != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	cmd := exec.Command(r.bin, "--bind", "127.0.0.1", "--port", strconv.Itoa(r.port), "--dir", r.dir,
		"--save", "", "--appendonly", "no")
	process, err := start(cmd, filepath.Join(r.dir, "log"), syscall.SIGKILL)
	if err != nil {
		return err
	}
	if err := process.ready(ctx, func(ctx context.Context) error { return r.command(ctx, "PING", "+PONG") }); err != nil {
		process.kill()
		return err
	}
	r.process = process
	return nil
}

// Stop ends the server and what it holds.
func (r *Redis) Stop() error {
	if r.process == nil {
		return nil
	}
	err := r.process.stop(syscall.SIGTERM)
	r.process = nil
	return err
}

// Wipe removes every key.
func (r *Redis) Wipe(ctx context.Context) error { return r.command(ctx, "FLUSHALL", "+OK") }

// Dump returns a copy of everything that the server holds now, for Restore.
func (r *Redis) Dump(ctx context.Context) ([]byte, error) {
	if err := r.command(ctx, "SAVE", "+OK"); err != nil {
		return nil, err
	}
	// Left where it is, the next start would load it.
	defer os.Remove(r.dump())
	b, err := os.ReadFile(r.dump())
	if err != nil {
		return nil, fmt.Errorf("dump Redis: %w", err)
	}
	return b, nil
}

// Restore restarts the server with what Dump returned, as a failover to an old
// copy would.
func (r *Redis) Restore(ctx context.Context, dump []byte) error {
	if err := r.Stop(); err != nil {
		return err
	}
	if err := os.WriteFile(r.dump(), dump, 0o600); err != nil {
		return fmt.Errorf("restore Redis: %w", err)
	}
	defer os.Remove(r.dump())
	return r.Start(ctx)
}

// Close stops the server and removes its files.
func (r *Redis) Close() error {
	if r.process != nil {
		r.process.kill()
		r.process = nil
	}
	if err := os.RemoveAll(r.dir); err != nil {
		return fmt.Errorf("remove Redis's files: %w", err)
	}
	return nil
}

func (r *Redis) dump() string { return filepath.Join(r.dir, "dump.rdb") }

// command sends one command without arguments and compares its answer.
func (r *Redis) command(ctx context.Context, command, want string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", r.Addr())
	if err != nil {
		return fmt.Errorf("redis %s: %w", command, err)
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return fmt.Errorf("redis %s: %w", command, err)
		}
	}
	if _, err := fmt.Fprintf(conn, "%s\r\n", command); err != nil {
		return fmt.Errorf("redis %s: %w", command, err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return fmt.Errorf("redis %s: %w", command, err)
	}
	if got := strings.TrimSpace(line); got != want {
		return fmt.Errorf("redis %s: answered %q", command, got)
	}
	return nil
}
