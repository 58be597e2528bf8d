package process

import (
	"errors"

	"golang.org/x/sys/windows"
)

// bootID returns the same for all starts of the machine: the time a process was
// started, to 100 ns, tells those of one from those of another.
func bootID() string { return "windows" }

// Running reports whether a process runs, and when it started, in nanoseconds.
func Running(pid int) (runs bool, born int64) {
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION|windows.SYNCHRONIZE, false, uint32(pid))
	if err != nil {
		return errors.Is(err, windows.ERROR_ACCESS_DENIED), 0
	}
	defer func() { _ = windows.CloseHandle(h) }() // it was only looked at
	if state, err := windows.WaitForSingleObject(h, 0); err == nil && state == windows.WAIT_OBJECT_0 {
		return false, 0
	}
	var created, exited, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(h, &created, &exited, &kernel, &user); err != nil {
		return true, 0
	}
	return true, created.Nanoseconds()
}
