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

	"github.com/claude-force/claude-force/internal/filelock"
)

// BusyTimeout is how long a write waits for those of other processes. They are
// short; that one takes this long means that something is stuck.
const BusyTimeout = 30 * time.Second

// Options are the settings of [Open]. The zero value is ready.
type Options struct {
	// Durable makes what is committed survive a power cut. Without it, the last
	// commits may be lost; the file is never damaged either way.
	Durable bool
	// Disposable makes an empty file a new one. Without it, an empty file is one that
	// has lost its contents, unless this program was about to make it.
	Disposable bool
	// VFS names what stands for the operating system; empty for itself.
	VFS string
}

// ErrEmpty is the error of a file that was there and is empty: its contents are lost.
var ErrEmpty = errors.New("the file is empty: what it held is lost")

// Open opens a file, which it makes, readable by this user only, if there is
// none. The log stays when the last process closes the file, so that the next
// need not make it again.
func Open(path string, opts Options) (*Conn, error) {
	made, err := create(path, opts)
	if err != nil {
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
	c := &Conn{Conn: raw, path: path, made: made, lock: filelock.New(path + "-lock")}
	if c.file, err = os.Stat(path); err != nil {
		return nil, errors.Join(err, c.Close())
	}
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
// makes them with the umask's, since the log holds what is stored too. But
// SQLite takes a log that is there for a sign that others use it: beside a file
// that is not said to have one, it is deleted or used, as the file happens to be
// empty or not, while others write to the file itself. So that of a new file is
// left to [Conn.Migrate], which also removes the mark of a file that is being made.
func create(path string, opts Options) (made bool, err error) {
	switch info, err := os.Stat(path); {
	case err == nil && !info.Mode().IsRegular():
		// To open a named pipe would wait for whoever writes to it.
		return false, &fs.PathError{Op: "open", Path: path, Err: errors.New("it is not a regular file")}
	case err == nil && info.Size() == 0 && !opts.Disposable:
		if made, err = isBeingMade(path); err != nil {
			return false, err
		}
	case errors.Is(err, fs.ErrNotExist):
		if err := makeDir(filepath.Dir(path), opts.Durable); err != nil {
			return false, err
		}
		if made = !opts.Disposable; made {
			if err := touch(markPath(path)); err != nil {
				return false, err
			}
		}
		if err := touch(path); err != nil {
			return false, err
		}
	}
	if _, err := os.Stat(path + "-shm"); errors.Is(err, fs.ErrNotExist) {
		if err := touch(path + "-shm"); err != nil {
			return false, err
		}
	}
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, fs.ErrNotExist) || !hasLog(path) {
		return made, nil
	}
	return made, touch(path + "-wal")
}

// markPath returns the path of a file that is there from before the file at path is
// made until it has contents. A process that crashes in between leaves it.
func markPath(path string) string { return path + "-new" }

// isBeingMade reports whether an empty file is one that a process is making, or was
// making when it crashed. If it is not, and is still empty, the error is [ErrEmpty]: a
// process that has just made it has removed the mark after it wrote to the file.
func isBeingMade(path string) (bool, error) {
	if _, err := os.Lstat(markPath(path)); err == nil {
		return true, nil
	}
	info, err := os.Stat(path)
	if err == nil && info.Size() == 0 {
		err = ErrEmpty
	}
	return false, err
}

// touch makes an empty file, unless there is one.
func touch(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// hasLog reports whether a file says of itself that it has a log: its read
// version is 2 (https://www.sqlite.org/fileformat2.html, offset 19).
func hasLog(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false // SQLite will say what is wrong with it
	}
	defer f.Close()
	version := make([]byte, 1)
	_, err = f.ReadAt(version, 19)
	return err == nil && version[0] == 2
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
