package sqlite

// OpenAs opens a store for another process than this, behind a VFS.
func OpenAs(path string, opts Options, host string, pid int, vfs string, lax bool) (*Store, error) {
	self := thisProcess()
	if host != "" {
		self.host = host
	}
	if pid != 0 {
		self.pid = pid
		_, self.born = running(pid)
	}
	return open(path, opts, settings{self: self, vfs: vfs, lax: lax})
}
