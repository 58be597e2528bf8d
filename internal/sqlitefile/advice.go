package sqlitefile

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/internal/oslimit"
	"github.com/claude-force/claude-force/internal/seal"
)

// Advice is what a user of a file can do about what goes wrong with it.
type Advice struct {
	Damaged      string
	Full         string // the disk
	Empty        string // a file that has lost its contents
	NotWritable  string
	Path         string // any other error of the file system
	Foreign      string // a database of another program
	WrongKey     string
	Encrypted    string
	NotEncrypted string
}

// isFull reports whether err comes from a full disk. SQLite does not say so of the
// memory that processes share, which is a file too.
func isFull(path string, err error) bool {
	if errors.Is(err, sqlite3.FULL) || oslimit.IsFull(err) {
		return true
	}
	if !errors.Is(err, sqlite3.IOERR) {
		return false
	}
	free, freeErr := oslimit.Free(filepath.Dir(path))
	return freeErr == nil && free < sharedMemory
}

// sharedMemory is by how many bytes the memory that processes share grows.
const sharedMemory = 32 << 10

// Damaged reports whether an error says that what a file holds is damaged or lost.
func Damaged(err error) bool {
	return errors.Is(err, sqlite3.NOTADB) || errors.Is(err, sqlite3.CORRUPT) || errors.Is(err, ErrEmpty)
}

// Unusable reports whether an error says that a file cannot be used: it or its folder cannot be
// opened or written, or it is damaged or another program's.
func Unusable(err error) bool {
	for _, known := range []error{sqlite3.READONLY, sqlite3.CANTOPEN, fs.ErrPermission, syscall.EROFS, ErrForeign} {
		if errors.Is(err, known) {
			return true
		}
	}
	return Damaged(err)
}

// Explain adds to an error of the file at path what to do about it. One that something can
// be done about is a [fault.UnavailableError], unless it has another kind.
func (a *Advice) Explain(path string, err error) error {
	if explained := a.advised(path, err); explained != err { //nolint:errorlint // the same error
		return fault.Unavailable(explained)
	}
	return err
}

// advised returns an error with what to do about it, if that is known.
func (a *Advice) advised(path string, err error) error {
	_, isPath := errors.AsType[*fs.PathError](err)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, seal.ErrWrongKey):
		return fmt.Errorf("%w: %s", err, a.WrongKey)
	case errors.Is(err, seal.ErrEncrypted):
		return fmt.Errorf("%w: %s", err, a.Encrypted)
	case errors.Is(err, seal.ErrNotEncrypted):
		return fmt.Errorf("%w: %s", err, a.NotEncrypted)
	case errors.Is(err, ErrForeign):
		return fmt.Errorf("%w: %s", err, a.Foreign)
	case errors.Is(err, sqlite3.NOTADB), errors.Is(err, sqlite3.CORRUPT):
		return fmt.Errorf("%w; %s", err, a.Damaged)
	case errors.Is(err, ErrEmpty):
		return fmt.Errorf("%w: %s", err, a.Empty)
	case isFull(path, err):
		return fmt.Errorf("%w; %s; %s", err, oslimit.Full(filepath.Dir(path)), a.Full)
	case oslimit.Explain(err) != "":
		return fmt.Errorf("%w; %s", err, oslimit.Explain(err))
	case errors.Is(err, sqlite3.READONLY), errors.Is(err, fs.ErrPermission), errors.Is(err, sqlite3.CANTOPEN):
		return fmt.Errorf("%w; the folder must be writable: %s", err, a.NotWritable)
	case errors.Is(err, sqlite3.IOERR):
		return fmt.Errorf("%w; the system refused to read or write: check the disk, and the limit on the size of files (ulimit -f)", err)
	case isPath:
		return fmt.Errorf("%w; %s", err, a.Path)
	case errors.Is(err, sqlite3.BUSY):
		return fmt.Errorf("%w; another process has been writing to it for %s", err, BusyTimeout)
	}
	return err
}
