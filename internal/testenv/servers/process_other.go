//go:build !linux

package servers

import "syscall"

// dieWithParent does nothing where the kernel has no such signal: there a test
// that is killed leaves its servers behind.
func dieWithParent(*syscall.SysProcAttr, syscall.Signal) {}
