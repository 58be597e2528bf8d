package journaldb

import "github.com/claude-force/claude-force/journal/journaltest"

// OpenAs opens a store for another process than this, behind a VFS.
func OpenAs(path string, opts Options, host string, pid int, vfs string, lax bool) (*Store, error) {
	return open(path, opts, settings{self: journaltest.Process(host, pid), vfs: vfs, lax: lax})
}
