// Package sqlitefile is what the stores in SQLite files have in common: making
// and opening a file, bringing its schema up to date, knowing its key, running
// statements, and saying what to do when something goes wrong.
package sqlitefile

import (
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// BusyTimeout is how long a write waits for those of other processes. They are
// short; that one takes this long means that something is stuck.
const BusyTimeout = 30 * time.Second

// Options are the settings of [Open]. The zero value is ready.
type Options struct {
	// Durable makes what is committed survive a power cut. Without it, the last
	// commits may be lost; the file is never damaged either way.
	Durable bool
	// VFS names what stands for the operating system; empty for itself.
	VFS string
}

// Open opens a file, which it makes, readable by this user only, if there is
// none. The log stays when the last process closes the file, so that the next
// need not make it again.
func Open(path string, opts Options) (*Conn, error) {
	if err := create(path, opts.Durable); err != nil {
		return nil, err
	}
	name, flags := path, sqlite3.OPEN_READWRITE|sqlite3.OPEN_CREATE
	if opts.VFS != "" {
		name = (&url.URL{Scheme: "file", Path: path, RawQuery: "vfs=" + opts.VFS}).String()
		flags |= sqlite3.OPEN_URI
	}
	raw, err := sqlite3.OpenFlags(name, flags)
	if err != nil {
		return nil, err
	}
	c := &Conn{Conn: raw, path: path}
	if err := c.setUp(opts); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Conn) setUp(opts Options) error {
	if err := c.BusyTimeout(BusyTimeout); err != nil {
		return err
	}
	if _, err := c.FileControl("main", sqlite3.FCNTL_PERSIST_WAL, true); err != nil {
		return err
	}
	if !opts.Durable {
		return nil // Write sets what is needed, since many only read
	}
	c.writing = true
	return c.Exec(`PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON`)
}

// create makes the files that are missing with the right mode before SQLite
// makes them with the umask's. The log holds what is stored too; but that of an
// empty file is left to [Conn.Migrate], since SQLite deletes a log it finds
// beside one, and of two processes that do so one fails.
func create(path string, durable bool) error {
	size := int64(0)
	for _, name := range []string{path, path + "-shm", path + "-wal"} {
		info, err := os.Stat(name)
		switch {
		case err == nil:
			if name == path {
				size = info.Size()
			}
			continue
		case !errors.Is(err, fs.ErrNotExist):
			continue // SQLite will say what is wrong with it
		case name == path:
			if err := makeDir(filepath.Dir(path), durable); err != nil {
				return err
			}
		case name == path+"-wal" && size == 0:
			continue
		}
		f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

// makeDir makes a folder and those above it, each known to the one above it
// before it is used, if that must survive a power cut. SQLite does the same for
// the files in it.
func makeDir(dir string, durable bool) error {
	if !durable || runtime.GOOS == "windows" {
		return os.MkdirAll(dir, 0o700)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	above := filepath.Dir(dir)
	if err := makeDir(above, durable); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	f, err := os.Open(above)
	if err != nil {
		return nil // may be entered and not read: then it is not ours to sync
	}
	return errors.Join(f.Sync(), f.Close())
}
