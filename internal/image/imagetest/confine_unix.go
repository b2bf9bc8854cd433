//go:build unix

package imagetest

import (
	"os/exec"
	"syscall"
)

// confine lets a command see nothing but its root, as a user and group.
func confine(cmd *exec.Cmd, to confinement) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot:     to.root,
		Credential: &syscall.Credential{Uid: to.uid, Gid: to.gid},
	}
	return nil
}
