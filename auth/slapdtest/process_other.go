//go:build !linux

package slapdtest

import "syscall"

func endWithParent() *syscall.SysProcAttr { return nil }
