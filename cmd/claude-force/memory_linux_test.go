//go:build linux && !race

package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// maxTestMemory is what each process of the tests may allocate, in bytes. The
// largest takes a tenth of it.
const maxTestMemory = 4 << 30

// limitMemory bounds the memory of this process and of all that it starts, so that
// a fault in a script ends the script and not the machine. The race detector maps
// more than any limit.
func limitMemory() error {
	limit := unix.Rlimit{Cur: maxTestMemory, Max: maxTestMemory}
	if err := unix.Setrlimit(unix.RLIMIT_DATA, &limit); err != nil {
		return fmt.Errorf("bounding the memory of the tests: %w", err)
	}
	return nil
}
