//go:build unix

package postgrestest

import (
	"os/exec"
	"syscall"
)

// detach keeps signals of the terminal from the server: it ends with its input, after the
// tests that use it.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }
