package e2e_test

import "syscall"

// endWithParent has the kernel end the process when the tests are killed, as after their timeout: no cleanup runs then.
func endWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
