package sqlite

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"github.com/ncruces/go-sqlite3"
)

// migrations are the steps from each version of the schema to the next, named
// by the version they lead to. They only ever go forward.
//
//go:embed migrations/*.sql
var migrations embed.FS

// version is the newest schema this program knows.
const version = 1

// migrate brings the schema to this program's version. Of several processes
// that open a new file at once, one does it.
func (s *Store) migrate() error {
	have, err := s.version()
	if err != nil || have == version {
		return err
	}
	if have == 0 {
		if err := s.checkEmpty(); err != nil {
			return err
		}
		// These take effect outside a transaction only, and only once.
		if err := s.conn.Exec(`PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL`); err != nil {
			return err
		}
	}
	err = s.write(func() error {
		have, err := s.version() // another process may have been faster
		if err != nil {
			return err
		}
		for v := have + 1; v <= version; v++ {
			sql, err := fs.ReadFile(migrations, "migrations/"+strconv.Itoa(v)+".sql")
			if err != nil {
				return err
			}
			if err := s.conn.Exec(string(sql)); err != nil {
				return err
			}
		}
		if have == 0 {
			if err := s.setKey(); err != nil {
				return err
			}
		}
		return s.conn.Exec(`PRAGMA user_version = ` + strconv.Itoa(version))
	})
	if err != nil || have != 0 {
		return err
	}
	// The first write made the log with the umask's mode, and answers will be
	// in it.
	if err := os.Chmod(s.path+"-wal", 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// errForeign is a database that another program made.
var errForeign = errors.New("the file is a database of another program: give the cache a file of its own")

// checkEmpty fails for a database that has tables but no version of ours. The
// version is read after the tables: another process that makes the schema
// commits both at once.
func (s *Store) checkEmpty() error {
	tables, _, err := s.sum(`SELECT 1 FROM sqlite_schema LIMIT 1`)
	if err != nil || tables == 0 {
		return err
	}
	have, err := s.version()
	if err == nil && have == 0 {
		err = errForeign
	}
	return err
}

// version is the file's version of the schema; 0 for a new file.
func (s *Store) version() (int, error) {
	stmt, _, err := s.conn.Prepare(`PRAGMA user_version`)
	if err != nil {
		return 0, err
	}
	defer stmt.Close()
	v := 0
	if stmt.Step() {
		v = stmt.ColumnInt(0)
	}
	if err := stmt.Err(); err != nil {
		return 0, err
	}
	if v > version {
		return 0, fmt.Errorf("it was written by a newer claude-force (schema %d; this one knows %d): update claude-force, or use another folder with CLAUDE_FORCE_HOME", v, version)
	}
	return v, nil
}

// explain adds what to do to an error of SQLite.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sqlite3.NOTADB), errors.Is(err, sqlite3.CORRUPT):
		return fmt.Errorf("%w; the file is damaged or not a cache: remove it, no more than cached answers is lost", err)
	case errors.Is(err, sqlite3.FULL):
		return fmt.Errorf("%w; the disk is full: free some space, or run `claude-force cache clear`", err)
	case errors.Is(err, sqlite3.READONLY), errors.Is(err, fs.ErrPermission), errors.Is(err, sqlite3.CANTOPEN):
		return fmt.Errorf("%w; the folder must be writable: use another with CLAUDE_FORCE_HOME, or do without with --no-cache", err)
	case isPathError(err):
		return fmt.Errorf("%w; use another folder with CLAUDE_FORCE_HOME, or do without with --no-cache", err)
	case errors.Is(err, sqlite3.BUSY):
		return fmt.Errorf("%w; another process has been writing to it for %s", err, busyTimeout)
	}
	return err
}

func isPathError(err error) bool {
	_, ok := errors.AsType[*fs.PathError](err)
	return ok
}
