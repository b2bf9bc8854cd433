package imagetest

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// commandTimeout bounds one command.
const commandTimeout = 30 * time.Second

// Run runs a command of the image with the image's variables and these. As root
// it runs in the image's files and as the image's user, as in a container; else
// as who calls, with the machine's files around it.
func (r *Root) Run(ctx context.Context, command string, args, env []string) (Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	cmd, err := r.command(ctx, command, args, env)
	if err != nil {
		return Outcome{}, err
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	if ctx.Err() != nil {
		return Outcome{}, fmt.Errorf("run %s: it did not end within %s", command, commandTimeout)
	}
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		return Outcome{}, fmt.Errorf("run %s: %w", command, err)
	}
	return Outcome{ExitCode: cmd.ProcessState.ExitCode(), Stdout: stdout.String(), Stderr: stderr.String()}, nil
}

// command returns a command of the image that has not been started.
func (r *Root) command(ctx context.Context, command string, args, env []string) (*exec.Cmd, error) {
	file, err := r.lookPath(command)
	if err != nil {
		return nil, err
	}
	dir := cmp.Or(r.config.WorkingDir, "/")
	cmd := exec.CommandContext(ctx, file, args...)
	cmd.Env = append(append([]string{}, r.config.Env...), env...)
	if os.Geteuid() == 0 {
		uid, gid, err := numbers(r.config.User)
		if err != nil {
			return nil, err
		}
		cmd.Dir = dir
		return cmd, confine(cmd, confinement{root: r.dir, uid: uid, gid: gid})
	}
	cmd.Path = filepath.Join(r.dir, filepath.FromSlash(file))
	cmd.Dir = filepath.Join(r.dir, filepath.FromSlash(dir))
	return cmd, nil
}

// confinement is what a command may not leave.
type confinement struct {
	root     string
	uid, gid uint32
}

// lookPath returns where in the image a command is.
func (r *Root) lookPath(command string) (string, error) {
	candidates := []string{command}
	if !path.IsAbs(command) {
		candidates = nil
		for dir := range strings.SplitSeq(variables(r.config.Env)["PATH"], ":") {
			candidates = append(candidates, path.Join(dir, command))
		}
	}
	for _, c := range candidates {
		header, ok := r.stat(c)
		if ok && header.Typeflag == tar.TypeReg && header.FileInfo().Mode()&0o111 != 0 {
			return c, nil
		}
	}
	return "", fmt.Errorf("the image has no %s", command)
}

// numbers returns a user and a group that are given as UID:GID.
func numbers(user string) (uid, gid uint32, err error) {
	u, g, _ := strings.Cut(user, ":")
	user64, err1 := strconv.ParseUint(u, 10, 32)
	group64, err2 := strconv.ParseUint(g, 10, 32)
	if err1 != nil || err2 != nil {
		return 0, 0, fmt.Errorf("the image's user is %q: only UID:GID is known", user)
	}
	return uint32(user64), uint32(group64), nil
}
