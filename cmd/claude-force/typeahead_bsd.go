//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// discardTyped drops what was typed on a terminal and not read yet. On a file
// that is no terminal it does nothing.
func discardTyped(f *os.File) {
	_ = unix.IoctlSetPointerInt(int(f.Fd()), unix.TIOCFLUSH, unix.TCIFLUSH) // fails on what is no terminal
}
