//go:build unix

package sandbox

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup gives a command a process group of its own.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}

// endGroup ends a process group.
func endGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }

func exitOf(s *os.ProcessState) Result {
	ws, ok := s.Sys().(syscall.WaitStatus)
	if ok && ws.Signaled() {
		return Result{ExitCode: -1, Signal: int(ws.Signal())}
	}
	return Result{ExitCode: s.ExitCode()}
}
