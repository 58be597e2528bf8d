package sqlitefile

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/internal/seal"
)

// Advice is what a user of a file can do about what goes wrong with it.
type Advice struct {
	Damaged      string
	Full         string // the disk
	NotWritable  string
	Path         string // any other error of the file system
	Foreign      string // a database of another program
	WrongKey     string
	Encrypted    string
	NotEncrypted string
}

// Explain adds to an error what to do about it.
func (a *Advice) Explain(err error) error {
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
	case errors.Is(err, sqlite3.FULL):
		return fmt.Errorf("%w; the disk is full: %s", err, a.Full)
	case errors.Is(err, sqlite3.READONLY), errors.Is(err, fs.ErrPermission), errors.Is(err, sqlite3.CANTOPEN):
		return fmt.Errorf("%w; the folder must be writable: %s", err, a.NotWritable)
	case isPath:
		return fmt.Errorf("%w; %s", err, a.Path)
	case errors.Is(err, sqlite3.BUSY):
		return fmt.Errorf("%w; another process has been writing to it for %s", err, BusyTimeout)
	}
	return err
}
