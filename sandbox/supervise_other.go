//go:build !linux

package sandbox

import (
	"os"
	"os/exec"
)

func supervise(cmd *exec.Cmd) (release func(), err error) { return superviseAlone(cmd) }

func supervisor() { os.Exit(2) }
