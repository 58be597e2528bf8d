package sqlitefile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/internal/filelock"
)

// Conn is a connection that keeps the statements it has prepared. It is for one
// goroutine at a time.
type Conn struct {
	*sqlite3.Conn
	path    string
	made    bool           // the file is new, and marked so until it has contents
	file    fs.FileInfo    // the file that was opened
	lock    *filelock.Lock // writers of all processes queue for it
	writing bool           // whether the connection is set up for writing
	kept    map[string]*sqlite3.Stmt
	schema  *Schema // see Expect; nil for any
	seen    int64   // the version of the file that was found to fit; 0 for none
}

// Close closes the connection with its statements.
func (c *Conn) Close() error {
	var err error
	for _, stmt := range c.kept {
		err = errors.Join(err, stmt.Close())
	}
	c.kept = nil
	return errors.Join(err, c.Conn.Close(), c.lock.Close())
}

// Query runs one statement, calling row, which may be nil, on each row of its
// result. The statement is kept for the next time: its text must be one of few,
// and row must not run it again.
func (c *Conn) Query(sql string, row func(*sqlite3.Stmt) error, args ...any) (err error) {
	stmt := c.kept[sql]
	if stmt == nil {
		if stmt, _, err = c.Prepare(sql); err != nil {
			return err
		}
		if c.kept == nil {
			c.kept = map[string]*sqlite3.Stmt{}
		}
		c.kept[sql] = stmt
	}
	// An error of the reset is that of the last step, which Err gives.
	defer func() { _ = stmt.Reset() }()
	if err := bind(stmt, args); err != nil {
		return err
	}
	for stmt.Step() {
		if row == nil {
			continue
		}
		if err := row(stmt); err != nil {
			return err
		}
	}
	return stmt.Err()
}

// Run runs one statement whose rows do not matter.
func (c *Conn) Run(sql string, args ...any) error { return c.Query(sql, nil, args...) }

// Change runs one statement and gives the number of rows it changed.
func (c *Conn) Change(sql string, args ...any) (int64, error) {
	err := c.Run(sql, args...)
	return c.Changes(), err
}

// Sum runs one statement and gives the number of its rows and the sum of their
// first column.
func (c *Conn) Sum(sql string, args ...any) (n, total int64, err error) {
	err = c.Query(sql, func(row *sqlite3.Stmt) error {
		n++
		total += row.ColumnInt64(0)
		return nil
	}, args...)
	return n, total, err
}

// ErrGone is the error of a write to a file that was deleted, moved or replaced
// while it was open: what was written is lost.
var ErrGone = errors.New("the file was deleted or replaced while it was in use")

// Write runs a transaction, which others wait for, so it must be short. Writers
// queue for a lock beside the file, asleep: SQLite's own wait polls, which starves
// some of many.
func (c *Conn) Write(do func() error) error {
	// Without the lock SQLite still keeps writers apart.
	if release, err := c.lock.Acquire(BusyTimeout); err == nil {
		defer release()
	}
	if err := c.write(do); err != nil {
		return err
	}
	if now, err := os.Stat(c.path); err != nil || !os.SameFile(c.file, now) {
		return fmt.Errorf("%w: %s", ErrGone, c.path)
	}
	return nil
}

func (c *Conn) write(do func() error) (err error) {
	if !c.writing {
		// A setting of the connection, not of the file; a process that only
		// reads does without.
		if err := c.Exec(`PRAGMA synchronous = NORMAL`); err != nil {
			return err
		}
		c.writing = true
	}
	// Statements that are kept: to compile these takes longer than to run them.
	if err := c.Run(`BEGIN IMMEDIATE`); err != nil {
		return err
	}
	defer func() {
		if !c.GetAutocommit() { // something failed, or panicked
			err = errors.Join(err, c.rollback())
		}
	}()
	if err := c.check(); err != nil {
		return err
	}
	if err := do(); err != nil || c.GetAutocommit() { // SQLite has rolled back by itself
		return err
	}
	return c.Run(`COMMIT`)
}

// rollback ends a transaction without its changes, even if the connection is interrupted.
func (c *Conn) rollback() error {
	defer c.SetInterrupt(c.SetInterrupt(context.WithoutCancel(c.GetInterrupt())))
	return c.Exec(`ROLLBACK`)
}

// Read runs statements that all see the same state of the file.
func (c *Conn) Read(do func() error) (err error) {
	if err := c.Run(`BEGIN`); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Run(`ROLLBACK`)) }()
	if err := c.check(); err != nil {
		return err
	}
	return do()
}

func bind(stmt *sqlite3.Stmt, args []any) error {
	for i, arg := range args {
		var err error
		switch v := arg.(type) {
		case nil:
			err = stmt.BindNull(i + 1)
		case []byte:
			err = stmt.BindBlob(i+1, v)
		case string:
			err = stmt.BindText(i+1, v)
		case bool:
			err = stmt.BindBool(i+1, v)
		case int:
			err = stmt.BindInt(i+1, v)
		case int64:
			err = stmt.BindInt64(i+1, v)
		case float64:
			err = stmt.BindFloat(i+1, v)
		default:
			err = fmt.Errorf("a value of type %T cannot be stored", arg)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
