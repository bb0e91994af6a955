package kafkatest

import "syscall"

// processAttributes have the kernel kill the node when the test's process dies, which
// may happen without its clean-up: a test that runs into its time limit panics.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
