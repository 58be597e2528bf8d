package child

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// CPU returns the processor time that a process and the system for it have taken, in steps of
// 10 ms.
func CPU(pid int) (used time.Duration, err error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, fmt.Errorf("reading the processor time of a process: %w", err)
	}
	_, after, _ := strings.Cut(string(text), ") ") // the name may have blanks
	fields := strings.Fields(after)
	if len(fields) < 13 {
		return 0, errors.New("reading the processor time of a process: too few fields")
	}
	for _, field := range fields[11:13] { // of the process itself, and of the system for it
		ticks, err := strconv.Atoi(field)
		if err != nil {
			return 0, fmt.Errorf("reading the processor time of a process: %w", err)
		}
		used += time.Duration(ticks) * 10 * time.Millisecond
	}
	return used, nil
}

// Memory returns the resident memory of a process in megabytes.
func Memory(pid int) (float64, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0, fmt.Errorf("reading the memory of a process: %w", err)
	}
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	kilobytes, _, _ := strings.Cut(strings.TrimSpace(after), " ")
	n, err := strconv.Atoi(kilobytes)
	if err != nil {
		return 0, fmt.Errorf("reading the memory of a process: %w", err)
	}
	return float64(n) / 1024, nil
}
