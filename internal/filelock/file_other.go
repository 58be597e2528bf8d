//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package filelock

import "github.com/gofrs/flock"

// file is a file that is open while it is locked.
type file struct{ *flock.Flock }

func open(path string) (*file, error) {
	return &file{flock.New(path, flock.SetPermissions(0o600))}, nil
}

// isAt reports whether this is the file at a path, which it is while it is locked.
func (f *file) isAt(string) bool { return true }

// tryLock locks the file and reports true, unless it is locked.
func (f *file) tryLock() (bool, error) { return f.TryLock() }

// lock waits until the file is locked.
func (f *file) lock() error { return f.Lock() }

// unlock frees the lock and closes the file.
func (f *file) unlock() {
	_ = f.Unlock() // the lock goes with the file
}
