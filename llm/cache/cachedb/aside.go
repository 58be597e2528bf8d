package cachedb

import (
	"errors"
	"sync"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/internal/sqlitefile"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/cache"
)

// aside is a connection that reads while the other one writes: a transaction may wait for
// the disk for tens of milliseconds, and readers need not. It is opened by the first that
// would have waited.
type aside struct {
	mu     sync.Mutex // guards the fields below
	usable bool       // the file has its tables
	conn   *sqlitefile.Conn
	get    *sqlite3.Stmt
}

// errNoAside is the error of a read beside a store that is not open.
var errNoAside = errors.New("the store is not open")

// findAside reads a row without the store's lock.
func (s *Store) findAside(key llm.Key) (*cache.Entry, int64, error) {
	a := &s.aside
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.usable {
		return nil, 0, errNoAside
	}
	if a.conn == nil {
		if err := a.open(s.path); err != nil {
			a.usable = false
			return nil, 0, err
		}
	}
	return s.find(a.get, key)
}

func (a *aside) open(path string) error {
	conn, err := sqlitefile.Open(path, sqlitefile.Options{Disposable: true})
	if err != nil {
		return err
	}
	get, _, err := conn.Prepare(selectAnswer)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	a.conn, a.get = conn, get
	return nil
}

// allow lets the file be read aside.
func (a *aside) allow() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.usable = true
}

func (a *aside) close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.usable = false
	if a.conn == nil {
		return nil
	}
	err := errors.Join(a.get.Close(), a.conn.Close())
	a.conn, a.get = nil, nil
	return err
}
