package journaldb

import "github.com/claude-force/claude-force/internal/process"

// OpenAs opens a store for another process than this, behind a VFS.
func OpenAs(path string, opts Options, host string, pid int, vfs string, lax bool) (*Store, error) {
	self := process.This()
	if host != "" {
		self.Host = host
	}
	if pid != 0 {
		self.PID = pid
		_, self.Born = process.Running(pid)
	}
	return open(path, opts, settings{self: self, vfs: vfs, lax: lax})
}
