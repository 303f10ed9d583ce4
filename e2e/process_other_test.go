//go:build !linux

package e2e_test

import "syscall"

// endWithParent has no counterpart here: after a killed test run, look for processes that are left.
func endWithParent() *syscall.SysProcAttr { return nil }
