//go:build !linux

package dynalitetest

import "syscall"

func endWithParent() *syscall.SysProcAttr { return nil }
