package sqlitefile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
)

// Lazy is a file of a small store, which is opened when it is first used and made when it
// is first written. It has one connection. It is safe for concurrent use.
type Lazy struct {
	Path   string
	Holds  string // what is in it, such as "keys"
	Schema *Schema
	Advice Advice

	// Own are the errors of the store that uses the file. They are returned as they are;
	// all others with the path and advice.
	Own []error

	mu     sync.Mutex // guards the fields below, and is held during a transaction
	conn   *Conn
	closed bool
}

// Close closes the file, which can no longer be used.
func (l *Lazy) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.conn == nil {
		return nil
	}
	err := l.conn.Close()
	l.conn = nil
	return err
}

// Read calls do with the connection, unless there is no file.
func (l *Lazy) Read(ctx context.Context, do func(c *Conn) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil {
		if _, err := os.Stat(l.Path); errors.Is(err, fs.ErrNotExist) {
			return ctx.Err()
		}
	}
	return l.explain("reading", l.use(func(c *Conn) error {
		if err := c.check(); err != nil {
			return err
		}
		return do(c)
	}))
}

// Write calls do in a transaction.
func (l *Lazy) Write(do func(c *Conn) error) error {
	return l.Exclusive(func(c *Conn) error { return c.Write(func() error { return do(c) }) })
}

// Exclusive calls do with the connection, which may write, while nothing else of this
// process uses it.
func (l *Lazy) Exclusive(do func(c *Conn) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.explain("writing", l.use(do))
}

// use calls do with the connection. The caller holds l.mu.
func (l *Lazy) use(do func(c *Conn) error) error {
	if l.closed {
		return fmt.Errorf("the store of %s is closed", l.Holds)
	}
	if l.conn == nil {
		conn, err := Open(l.Path, Options{})
		if err != nil {
			return err
		}
		if err := conn.Migrate(l.Schema); err != nil {
			return errors.Join(err, conn.Close())
		}
		l.conn = conn
	}
	return do(l.conn)
}

func (l *Lazy) explain(verb string, err error) error {
	if err == nil || slices.ContainsFunc(l.Own, func(own error) bool { return errors.Is(err, own) }) {
		return err
	}
	return fmt.Errorf("%s %s: %w", verb, l.Path, l.Advice.Explain(l.Path, err))
}
