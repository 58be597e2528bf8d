package sqlitefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/internal/seal"
)

// Schema is what a program knows of a file's tables. It only ever goes forward.
//
// A migration that programs of the version before can live with, also those that have the
// file open, only adds: tables, columns that may be null or have a default, indexes, views. One
// that takes something away, or changes what it means, has a line
//
//	-- contract: since VERSION: WHAT
//
// with the version of claude-force whose code did without it first. Programs that do not
// know it refuse the file.
type Schema struct {
	// Component names whose tables these are, in a file that several packages
	// keep tables in. Empty if they are all there are.
	Component string
	// Version is the newest the program knows; the first is 1.
	Version int
	// Migrations has, for each version, the statements that lead to it from the
	// one before, in migrations/VERSION.sql.
	Migrations fs.FS
	// Init is called in the transaction that makes the tables; it may be nil.
	Init func() error
}

// NewerError is the error of a file that a newer program has changed in a way that this one
// cannot use.
type NewerError struct {
	Version, Known int // of the file, and the newest that this program knows
}

// FaultKind returns [fault.KindOutdated].
func (e *NewerError) FaultKind() fault.Kind { return fault.KindOutdated }

func (e *NewerError) Error() string {
	return fmt.Sprintf("it was written by a newer claude-force (schema %d; this one knows %d): update claude-force, or use another folder with CLAUDE_FORCE_HOME", e.Version, e.Known)
}

// ErrForeign is a database that another program made.
var ErrForeign = errors.New("the file is a database of another program")

// Migrate brings the schema of a file to the program's version, and expects it from then
// on. Of several processes that open a new file at once, one does it.
func (c *Conn) Migrate(s *Schema) error {
	s = withNext(s)
	err := c.bringUp(s)
	if err == nil {
		c.Expect(s)
	}
	return err
}

// Expect has each transaction of the connection fail with a [*NewerError] once a newer
// program has changed the file in a way that this one cannot use.
func (c *Conn) Expect(s *Schema) { c.schema, c.seen = withNext(s), 0 }

// check returns a [*NewerError] unless the program can use the file as it is now. A version
// that was seen before is not looked at again.
func (c *Conn) check() error {
	s := c.schema
	if s == nil {
		return nil
	}
	if c.seen != 0 {
		sql, args := `PRAGMA user_version`, []any(nil)
		if s.Component != "" {
			sql, args = `SELECT version FROM schema_versions WHERE component = ?`, []any{s.Component}
		}
		if _, v, err := c.Sum(sql, args...); err != nil || v == c.seen {
			return err
		}
	}
	v, err := c.version(s)
	c.seen = int64(v)
	if err != nil {
		c.seen = 0
	}
	return err
}

func (c *Conn) bringUp(s *Schema) error {
	if c.made {
		defer c.unmark()
	}
	have, err := c.version(s)
	if err != nil || have >= s.Version {
		return err
	}
	tables := int64(0)
	if have == 0 {
		if tables, err = c.checkEmpty(s); err != nil {
			return err
		}
	}
	if have == 0 && tables == 0 {
		if err := c.makeLog(); err != nil {
			return err
		}
	}
	return c.Write(func() error { return c.migrate(s) })
}

// unmark removes the mark of a file that is being made, once it has contents.
func (c *Conn) unmark() {
	if info, err := os.Stat(c.path); err == nil && info.Size() > 0 {
		_ = os.Remove(markPath(c.path)) // if it stays, an empty file counts as new
		c.made = false
	}
}

// makeLog gives a new file its log. SQLite's own wait for other processes does
// not cover this change: of two that have read the file and would both lock it
// whole, one is refused at once. That one waits for a lock that it is made to
// wait for, tries again, and finds the change made.
func (c *Conn) makeLog() error {
	if release, err := c.lock.Acquire(BusyTimeout); err == nil {
		defer release()
	}
	for giveUp := time.Now().Add(BusyTimeout); ; {
		// Both take effect outside a transaction only, and only once; the log is
		// made by what reads next.
		err := c.Exec(`PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; SELECT 1 FROM sqlite_schema`)
		if err == nil {
			break
		}
		if !errors.Is(err, sqlite3.BUSY) || time.Now().After(giveUp) {
			return err
		}
		if err := c.Exec(`BEGIN IMMEDIATE; ROLLBACK`); err != nil {
			return err
		}
	}
	// It has the umask's mode, and what is stored will be in it.
	return os.Chmod(c.path+"-wal", 0o600)
}

func (c *Conn) migrate(s *Schema) error {
	have, err := c.version(s) // another process may have been faster
	if err != nil || have >= s.Version {
		return err
	}
	if have > 0 && s.Component == "" {
		if err := c.checkTables(s, have); err != nil {
			return err
		}
	}
	for v := have + 1; v <= s.Version; v++ {
		sql, err := s.migration(v)
		if err == nil {
			sql, err = c.withNext(sql)
		}
		if err != nil {
			return err
		}
		if err := c.Exec(sql); err != nil {
			return err
		}
	}
	if have == 0 && s.Init != nil {
		if err := s.Init(); err != nil {
			return err
		}
	}
	return c.setVersion(s)
}

// checkEmpty fails for a database that has tables but no version of ours, and
// gives the number of tables. The version is read after the tables: another
// process that makes the schema commits both at once.
func (c *Conn) checkEmpty(s *Schema) (tables int64, err error) {
	tables, _, err = c.Sum(`SELECT 1 FROM sqlite_schema LIMIT 1`)
	if err != nil || tables == 0 {
		return tables, err
	}
	if s.Component != "" {
		ours, err := c.hasVersions()
		if err == nil && !ours {
			err = ErrForeign
		}
		return tables, err
	}
	have, err := c.version(s)
	if err == nil && have == 0 {
		err = ErrForeign
	}
	return tables, err
}

// checkTables returns [ErrForeign] unless the file has each table that the schema has in a
// version. A file of another program may have our version by chance: it is a number that
// any program can set.
func (c *Conn) checkTables(s *Schema, version int) (err error) {
	empty, err := sqlite3.Open(":memory:")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, empty.Close()) }()
	for v := 1; v <= version; v++ {
		sql, err := s.migration(v)
		if err == nil {
			err = empty.Exec(sql)
		}
		if err != nil {
			return err
		}
	}
	names, _, err := empty.Prepare(`SELECT name FROM sqlite_schema WHERE type = 'table'`)
	if err != nil {
		return err
	}
	defer names.Close()
	for names.Step() {
		if n, _, err := c.Sum(`SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?`, names.ColumnText(0)); err != nil {
			return err
		} else if n == 0 {
			return ErrForeign
		}
	}
	return names.Err()
}

// hasVersions reports whether the file has the table with the versions of its
// components.
func (c *Conn) hasVersions() (bool, error) {
	n, _, err := c.Sum(`SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_versions'`)
	return n > 0, err
}

// version returns the file's version of the schema; 0 if it has none yet. It may be one that
// this program does not know and can use. The error of any other is a [*NewerError].
func (c *Conn) version(s *Schema) (int, error) {
	var v int64
	var err error
	if s.Component == "" {
		_, v, err = c.Sum(`PRAGMA user_version`)
	} else {
		ours, hasErr := c.hasVersions()
		if hasErr != nil || !ours {
			return 0, hasErr
		}
		_, v, err = c.Sum(`SELECT version FROM schema_versions WHERE component = ?`, s.Component)
		if errors.Is(err, sqlite3.ERROR) {
			return 0, ErrForeign // a table of that name, which is not ours
		}
	}
	if err == nil && v > int64(s.Version) {
		var oldest int64
		if oldest, err = c.oldest(s.Component); err == nil && (oldest == 0 || oldest > int64(s.Version)) {
			err = &NewerError{int(v), s.Version}
		}
	}
	return int(v), err
}

// oldest returns the version that a program must know at least to use the file; 0 if the
// file does not say.
func (c *Conn) oldest(component string) (int64, error) {
	if n, _, err := c.Sum(`SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_oldest'`); err != nil || n == 0 {
		return 0, err
	}
	_, v, err := c.Sum(`SELECT version FROM schema_oldest WHERE component = ?`, component)
	return v, err
}

var contractLine = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?m)^-- contract: since v[0-9]+\.[0-9]+\.[0-9]+: \S.*$`)
})

// oldest returns the version that a program must know at least to use a file of the
// schema's.
func (s *Schema) oldest() (int, error) {
	for v := s.Version; v > 1; v-- {
		sql, err := s.migration(v)
		if err != nil {
			return 0, err
		}
		switch {
		case contractLine().MatchString(sql):
			return v, nil
		case strings.Contains(sql, "-- contract"):
			return 0, fmt.Errorf("migration %d: write its mark as: -- contract: since vVERSION: WHAT", v)
		}
	}
	return 1, nil
}

// migration returns the statements that lead to a version.
func (s *Schema) migration(version int) (string, error) {
	sql, err := fs.ReadFile(s.Migrations, "migrations/"+strconv.Itoa(version)+".sql")
	return string(sql), err
}

func (c *Conn) setVersion(s *Schema) error {
	oldest, err := s.oldest()
	if err != nil {
		return err
	}
	if err := c.Exec(`CREATE TABLE IF NOT EXISTS schema_oldest (component TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT`); err != nil {
		return err
	}
	if err := c.Run(`INSERT INTO schema_oldest (component, version) VALUES (?, ?) ON CONFLICT (component) DO UPDATE SET version = excluded.version`, s.Component, oldest); err != nil {
		return err
	}
	if s.Component == "" {
		return c.Exec(`PRAGMA user_version = ` + strconv.Itoa(s.Version))
	}
	if err := c.Exec(`CREATE TABLE IF NOT EXISTS schema_versions (component TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT`); err != nil {
		return err
	}
	return c.Run(`INSERT INTO schema_versions (component, version) VALUES (?, ?) ON CONFLICT (component) DO UPDATE SET version = excluded.version`, s.Component, s.Version)
}

// SetKey notes in a new file how it is encrypted, in its table cipher. What is
// sealed is any text.
func (c *Conn) SetKey(box *seal.Box, text string) error {
	return c.Run(`INSERT INTO cipher (id, verifier) VALUES (1, ?)`, box.Verifier(text))
}

// CheckKey compares the file's encryption with that asked for, and gives its
// verifier, which is nil without encryption. Nothing is changed when it fails.
func (c *Conn) CheckKey(box *seal.Box) (verifier []byte, err error) {
	rows := 0
	err = c.Query(`SELECT verifier FROM cipher`, func(row *sqlite3.Stmt) error {
		rows++
		verifier = row.ColumnBlob(0, nil)
		return nil
	})
	switch {
	case errors.Is(err, sqlite3.ERROR) || err == nil && rows == 0:
		return nil, ErrForeign // it has our version by chance, and no such table
	case err != nil:
		return nil, err
	}
	return verifier, box.Check(verifier)
}
