package slapdtest

import "syscall"

// endWithParent has the kernel end the server when the tests are killed, as after their timeout: no cleanup runs then.
func endWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
