// Package callsdb keeps calls in an SQLite file, with sums over them that answer
// questions about a week without reading the week's calls.
//
// What is kept, each in the transaction that adds a call:
//
//   - the call as a row, and calls of tools and tasks of agents with tools as rows of
//     their own;
//   - sums for its hour and its day, by agent, model, workflow, source, key and team;
//   - its run, as its calls show it.
//
// A question about a period is answered from the sums of whole days, those of
// hours at its edges, and rows only in the hours that its bounds cut. [NewRecorder]
// takes calls off the way of whoever makes them. Results are kept for the next
// who asks, until a process writes; [Store.CacheStats] says how often that helped.
// The file is shared: several processes may add and ask at once, and other
// packages keep tables in it.
package callsdb

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"sync"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsql"
	"github.com/claude-force/claude-force/analytics/spool"
	"github.com/claude-force/claude-force/internal/sqlitefile"
)

// migrations are the steps from each version of the schema to the next, named
// by the version they lead to. They only ever go forward.
//
//go:embed migrations/*.sql
var migrations embed.FS

// version is the newest schema this program knows.
const version = 9

var schema = sqlitefile.Schema{Component: "calls", Version: version, Migrations: migrations}

type stmt = sqlite3.Stmt

var _ analytics.Store = (*Store)(nil)

// Store holds calls. It is safe for concurrent use.
type Store struct {
	*callsql.Reader
	path  string
	spool *spool.File

	mu        sync.Mutex // guards the fields below, and the connections
	read      *sqlitefile.Conn
	write     *sqlitefile.Conn // nil until it is needed
	names     map[name]int64   // ids that are known
	toolNames map[toolName]int64
	cache     results
	closed    bool
}

// file returns the spool of the store in a file.
func file(path string) *spool.File { return spool.NewFile(path, spool.FileOptions{Explain: explain}) }

// NewRecorder returns a recorder for the calls in a file, which drops once a day what is
// older than is to be kept. Nothing is opened before it is needed. onLost is called, at
// most once, when calls could not be written; these are lost. It may be nil.
func NewRecorder(path string, keep analytics.Retention, onLost func(error)) *spool.Recorder {
	return spool.NewRecorder(spool.Options{File: file(path), Keep: keep, OnLost: onLost, Open: func() (spool.Store, error) {
		s, err := Open(path)
		if err != nil {
			return nil, err // a nil store in an interface is not nil
		}
		return s, nil
	}})
}

// Open opens the calls in a file, which it makes, readable by this user only, if
// there is none. The errors it gives say what to do.
func Open(path string) (*Store, error) {
	s := &Store{path: path, spool: file(path), names: map[name]int64{}, toolNames: map[toolName]int64{}}
	s.Reader = callsql.NewReader(s, callsql.Dialect{Join: "CROSS JOIN", Attempts: "r.id = a.call"})
	var err error
	if s.read, err = sqlitefile.Open(path, sqlitefile.Options{Durable: true}); err != nil {
		return nil, fmt.Errorf("opening history %s: %w", path, explain(path, err))
	}
	err = s.read.Migrate(&schema)
	if err != nil {
		return nil, fmt.Errorf("opening history %s: %w", path, errors.Join(explain(path, err), s.read.Close()))
	}
	return s, nil
}

// Close frees what the store holds. Afterwards every use is an error, except
// Close, which does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	err := errors.Join(s.read.Close(), s.spool.Close())
	if s.write != nil {
		err = errors.Join(err, s.write.Close())
	}
	if err != nil {
		return fmt.Errorf("closing history %s: %w", s.path, explain(s.path, err))
	}
	return nil
}

func (s *Store) errClosed() error { return fmt.Errorf("using history %s: it is closed", s.path) }

// writing runs a transaction. The caller holds mu.
func (s *Store) writing(do func() error) (err error) {
	if s.closed {
		return s.errClosed()
	}
	if s.write == nil {
		if s.write, err = sqlitefile.Open(s.path, sqlitefile.Options{Durable: true}); err == nil {
			s.write.Expect(&schema)
		}
	}
	if err == nil {
		err = s.write.Write(do)
	}
	if err != nil {
		clear(s.names) // those that the transaction made do not exist
		clear(s.toolNames)
		return fmt.Errorf("writing history %s: %w", s.path, explain(s.path, err))
	}
	return nil
}

// reading runs do with all its statements on one state of the file. The caller
// holds mu.
func (s *Store) reading(ctx context.Context, do func() error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case s.closed:
		return s.errClosed()
	}
	old := s.read.SetInterrupt(ctx)
	defer s.read.SetInterrupt(old)
	if err := s.read.Read(do); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("reading history %s: %w", s.path, explain(s.path, err))
	}
	return nil
}

// explain adds what to do to an error.
func explain(path string, err error) error {
	advice := sqlitefile.Advice{
		Damaged:     "it may be damaged, or is no history: nothing was changed; keep a copy, and move it away to start over, or put a backup in its place",
		Empty:       "put a backup in its place, or remove it to start over",
		Full:        "free some space, or drop old rows with analytics prune",
		NotWritable: "use another with CLAUDE_FORCE_HOME",
		Path:        "use another folder with CLAUDE_FORCE_HOME",
		Foreign:     "give the history a file of its own, with another folder in CLAUDE_FORCE_HOME",
	}
	return advice.Explain(path, err)
}
