package process

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

// bootID returns the id of this start of the machine, with the namespace of its pids, since
// containers share the former.
func bootID() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(boot)) + "/" + space
}

// Running reports whether a process runs, and when it started, in ticks since
// the start of the machine.
func Running(pid int) (runs bool, born int64) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false, 0
	}
	// The name of the program, in parentheses, may hold anything.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return true, 0
	}
	if state := string(fields[0]); state == "Z" || state == "X" { // dead, and not yet waited for
		return false, 0
	}
	born, _ = strconv.ParseInt(string(fields[19]), 10, 64) // 0 if unknown
	return true, born
}
