//go:build !unix

package postgrestest

import "os/exec"

func detach(*exec.Cmd) {}
