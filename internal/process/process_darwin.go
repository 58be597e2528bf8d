package process

import "golang.org/x/sys/unix"

// bootID returns the id of this start of the machine.
func bootID() string {
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return ""
	}
	return id
}

// zombie is SZOMB of sys/proc.h.
const zombie = 5

// Running reports whether a process runs, and when it started, in microseconds.
func Running(pid int) (runs bool, born int64) {
	info, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil || int(info.Proc.P_pid) != pid || info.Proc.P_stat == zombie {
		return false, 0
	}
	start := info.Proc.P_starttime
	return true, start.Sec*1e6 + int64(start.Usec)
}
