//go:build !unix

package imagetest

import (
	"errors"
	"os/exec"
)

// confine is for systems that have chroot.
func confine(*exec.Cmd, confinement) error { return errors.ErrUnsupported }
