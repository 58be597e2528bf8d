//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package filelock

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// file is an open file that can be locked.
type file struct {
	*os.File
	info fs.FileInfo
}

// open opens the file of a lock, which it makes if there is none. For writing, if it may:
// network file systems ask for that.
func open(path string) (*file, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		f, err = os.OpenFile(path, os.O_RDONLY|os.O_CREATE, 0o600)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &file{f, info}, nil
}

// isAt reports whether this is the file at a path.
func (f *file) isAt(path string) bool {
	info, err := os.Stat(path)
	return err == nil && os.SameFile(info, f.info)
}

// tryLock locks the file and reports true, unless it is locked.
func (f *file) tryLock() (bool, error) {
	err := f.flock(syscall.LOCK_EX | syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// lock waits until the file is locked.
func (f *file) lock() error { return f.flock(syscall.LOCK_EX) }

// unlock frees the lock, also if a process that is being started has a copy of the file.
func (f *file) unlock() {
	_ = f.flock(syscall.LOCK_UN) // it fails on no open file
}

func (f *file) flock(how int) error {
	if err := syscall.Flock(int(f.Fd()), how); err != nil {
		return &fs.PathError{Op: "lock", Path: f.Name(), Err: err}
	}
	return nil
}
