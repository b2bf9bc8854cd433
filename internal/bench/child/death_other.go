//go:build !linux

package child

import "syscall"

// dieWithParent is for Linux alone; elsewhere a killed benchmark leaves its
// servers behind.
func dieWithParent(*syscall.SysProcAttr) {}
