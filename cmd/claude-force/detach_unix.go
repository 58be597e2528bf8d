//go:build unix

package main

import "syscall"

// alone gives a process a session of its own, so that what ends the terminal
// does not end it.
func alone() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
