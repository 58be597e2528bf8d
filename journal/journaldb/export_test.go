package journaldb

import (
	"math"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journaltest"
)

// OpenAs opens a store for another process than this, behind a VFS.
func OpenAs(path string, opts Options, host string, pid int, vfs string, lax bool) (*Store, error) {
	return open(path, opts, settings{self: journaltest.Process(host, pid), vfs: vfs, lax: lax})
}

// Listing returns the statement that lists runs.
func Listing(f journal.Filter) (sql string, args []any) { return listing(f, math.MaxInt64) }
