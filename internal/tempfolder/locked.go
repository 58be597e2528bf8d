//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package tempfolder

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// prefix begins the names of folders that are locked while their process runs. Versions before
// this one made others, claude-force-NAME-…, which tell nothing of their process.
const prefix = "claude-force-locked-"

// tries is how many folders are made at most to lock one of them.
const tries = 10

// create makes a folder and locks it. The system frees the lock when the process ends, however it
// ends, and knows it in all containers that share the folder, as it does not know pids. Where
// none can be locked, as on file systems without locks or with owners of their own, the
// folder is one that stays if the process is killed.
func create(parent, name string) (*Folder, error) { return createLocked(parent, name, lock) }

func createLocked(parent, name string, lock func(path string) (*os.File, bool, error)) (*Folder, error) {
	for range tries {
		path, err := os.MkdirTemp(parent, prefix+name+"-")
		if err != nil {
			return nil, err
		}
		file, locked, err := lock(path)
		if locked {
			return &Folder{path, func() { _ = file.Close() }}, nil
		}
		_ = os.Remove(path) // if another process has not, which took it for one that was left
		if err != nil {
			break
		}
	}
	return createUnlocked(parent, name)
}

// lock opens and locks a folder of this user. It is not locked if another process has the lock,
// or has removed it, or it is not this user's. The lock is that of the open file.
func lock(path string) (file *os.File, locked bool, err error) {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0)
	if errors.Is(err, syscall.ENOENT) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, &os.PathError{Op: "open", Path: path, Err: err}
	}
	file = os.NewFile(uintptr(fd), path)
	err = syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		locked = ours(file, path)
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = nil
	}
	if err != nil || !locked {
		return nil, false, errors.Join(err, file.Close())
	}
	return file, true, nil
}

// ours reports whether an open folder is this user's and is still at its path.
func ours(file *os.File, path string) bool {
	open, openErr := file.Stat()
	now, err := os.Lstat(path)
	if openErr != nil || err != nil || !os.SameFile(open, now) {
		return false
	}
	stat, ok := open.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

// Sweep removes the folders in a folder of temporary files whose process has ended.
func Sweep(parent string) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return // who makes a folder there has the error
	}
	for _, entry := range entries {
		if !entry.IsDir() || !strings.HasPrefix(entry.Name(), prefix) {
			continue
		}
		path := filepath.Join(parent, entry.Name())
		file, locked, err := lock(path)
		if err != nil || !locked {
			continue
		}
		_ = removeAll(path) // the next process tries again
		_ = file.Close()
	}
}
