//go:build !unix

package mcptest

import "os/exec"

func ignoreSignals() {}

func leaveGroup(*exec.Cmd) {}
