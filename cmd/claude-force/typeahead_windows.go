package main

import (
	"os"

	"golang.org/x/sys/windows"
)

// discardTyped drops what was typed in a console and not read yet. On a file
// that is no console it does nothing.
func discardTyped(f *os.File) {
	_ = windows.FlushConsoleInputBuffer(windows.Handle(f.Fd())) // fails on what is no console
}
