//go:build !unix

package sandbox

import (
	"os"
	"os/exec"
	"strconv"
)

func ownGroup(*exec.Cmd) {}

// endGroup ends a process and its children.
func endGroup(pid int) {
	_ = exec.Command("taskkill", "/T", "/F", "/PID", strconv.Itoa(pid)).Run()
}

func exitOf(s *os.ProcessState) Result { return Result{ExitCode: s.ExitCode()} }
