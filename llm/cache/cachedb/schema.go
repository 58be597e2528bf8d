package cachedb

import (
	"embed"
	"errors"
	"io/fs"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/internal/seal"
	"github.com/claude-force/claude-force/internal/sqlitefile"
)

// migrations are the steps from each version of the schema to the next, named
// by the version they lead to. They only ever go forward.
//
//go:embed migrations/*.sql
var migrations embed.FS

// version is the newest schema this program knows.
const version = 1

// verified is what the store's verifier is the sealed form of.
const verified = "claude-force cache"

// Errors of opening a store with another encryption than it has. Nothing is
// changed when they are returned.
var (
	ErrWrongKey     = seal.ErrWrongKey
	ErrEncrypted    = seal.ErrEncrypted
	ErrNotEncrypted = seal.ErrNotEncrypted
)

func (s *Store) schema() *sqlitefile.Schema {
	return &sqlitefile.Schema{Version: version, Migrations: migrations, Init: func() error { return s.conn.SetKey(s.box, verified) }}
}

// FileError reports that the cache's file cannot be written or opened.
type FileError struct {
	Full bool // the disk is full
	err  error
}

func (e *FileError) Error() string { return e.err.Error() }
func (e *FileError) Unwrap() error { return e.err }

// explain adds what to do to an error.
func explain(path string, err error) error {
	advice := sqlitefile.Advice{
		Damaged:      "the file is damaged or not a cache: remove it, no more than cached answers is lost",
		Full:         "free some space, or clear the cache",
		NotWritable:  "use another with CLAUDE_FORCE_HOME, or do without the cache",
		Path:         "use another folder with CLAUDE_FORCE_HOME, or do without the cache",
		Foreign:      "give the cache a file of its own",
		WrongKey:     "give that key, or remove the file to start with an empty one",
		Encrypted:    "say where the key is with CLAUDE_FORCE_CACHE_ENCRYPTION_KEY, or use another folder with CLAUDE_FORCE_HOME",
		NotEncrypted: "remove the file to begin an encrypted one, or use another folder with CLAUDE_FORCE_HOME",
	}
	_, isPath := errors.AsType[*fs.PathError](err)
	explained := advice.Explain(path, err)
	switch {
	case errors.Is(err, sqlite3.FULL):
		return &FileError{Full: true, err: explained}
	case isPath, errors.Is(err, sqlite3.READONLY), errors.Is(err, fs.ErrPermission), errors.Is(err, sqlite3.CANTOPEN):
		return &FileError{err: explained}
	}
	return explained
}
