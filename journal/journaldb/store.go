// Package journaldb keeps runs in a SQLite file, history.db, which several processes
// may use at once.
//
//	store, err := journaldb.Open(path, journaldb.Options{})
//	…
//	defer store.Close()
//
// What was acknowledged survives the end of the process and a power cut: the
// file is in WAL mode with synchronous=FULL. One goroutine commits what all logs
// of the store have queued in one transaction, so that steps that finish at the
// same time share one write to the disk. Readers have a connection of their own
// and never wait for a writer.
//
// A run belongs to who holds its token. Every transaction that writes events
// checks it, so that a process that lost the run changes nothing, whatever it
// believes. A process of this machine that is dead loses its runs at once, one
// elsewhere after [journal.LeaseTTL] without a sign of life.
//
// Rows have checksums over all they say. One that does not match is an error, and
// is never believed.
package journaldb

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"sync"

	"github.com/claude-force/claude-force/internal/process"
	"github.com/claude-force/claude-force/internal/seal"
	"github.com/claude-force/claude-force/internal/sqlitefile"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/groupcommit"
	"github.com/claude-force/claude-force/journal/journalrow"
)

// migrations are the steps from each version of the schema to the next, named
// by the version they lead to. They only ever go forward.
//
//go:embed migrations/*.sql
var migrations embed.FS

// version is the newest schema this program knows.
const version = 6

// verified is what the file's verifier is the sealed form of.
const verified = "claude-force history"

// Options are the settings of [Open]. The zero value is ready.
type Options struct {
	// Key encrypts what was asked and answered, and the names of workflows and
	// files, with AES-256-GCM. Ids, names of steps and keys, keys of items, times and
	// sums stay in clear. It has 32 bytes; nil means no encryption.
	Key []byte
}

// settings are what tests set beside Options.
type settings struct {
	vfs  string     // stands for the operating system
	self process.ID // that works on runs
	lax  bool       // synchronous=NORMAL
}

// Store is a [journal.Store]. It is safe for concurrent use.
type Store struct {
	path string
	box  *seal.Box // nil without encryption
	set  settings

	readMu sync.Mutex // guards read
	read   *sqlitefile.Conn

	queue *groupcommit.Queue[*batch]
	lives journalrow.Lives // only the committer touches it
}

// Open opens the runs in a file, which it makes, readable by this user only, if
// there is none. The errors it gives say what to do.
func Open(path string, opts Options) (*Store, error) {
	return open(path, opts, settings{self: process.This()})
}

func open(path string, opts Options, set settings) (*Store, error) {
	s := &Store{path: path, set: set}
	s.queue = groupcommit.New(groupcommit.Store[*batch]{Commit: s.commit, Closed: s.errClosed, Seal: s.seal, Append: appendTo, Release: release})
	var err error
	if s.box, err = seal.New(opts.Key); err == nil {
		s.read, err = s.connect()
	}
	if err == nil {
		err = s.check()
	}
	if err != nil {
		return nil, fmt.Errorf("opening history %s: %w", path, explain(path, err))
	}
	return s, nil
}

// check brings the schema up to date and compares the key. It closes the
// connection if it fails.
func (s *Store) check() error {
	err := s.read.Migrate(s.schema())
	if err == nil {
		_, err = s.read.CheckKey(s.box)
	}
	if err != nil {
		err = errors.Join(err, s.read.Close())
	}
	return err
}

// schema returns what this program knows of the file.
func (s *Store) schema() *sqlitefile.Schema {
	return &sqlitefile.Schema{
		Component: "journal", Version: version, Migrations: migrations,
		Init: func() error { return s.read.SetKey(s.box, verified) },
	}
}

func (s *Store) connect() (*sqlitefile.Conn, error) {
	conn, err := sqlitefile.Open(s.path, sqlitefile.Options{Durable: !s.set.lax, VFS: s.set.vfs})
	if err == nil && s.read != nil {
		conn.Expect(s.schema())
	}
	return conn, err
}

// Close writes what is queued. Afterwards every use of the store is an error,
// except Close, which does nothing.
func (s *Store) Close() error {
	if !s.queue.Close() {
		return nil
	}
	s.readMu.Lock()
	defer s.readMu.Unlock()
	if err := s.read.Close(); err != nil {
		return fmt.Errorf("closing history %s: %w", s.path, explain(s.path, err))
	}
	return nil
}

func (s *Store) errClosed() error { return fmt.Errorf("using history %s: it is closed", s.path) }

// reading runs do with the connection for reading.
func (s *Store) reading(ctx context.Context, do func() error) error {
	s.readMu.Lock()
	defer s.readMu.Unlock()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case !s.queue.ClosedAt().IsZero():
		return s.errClosed()
	}
	err := do()
	if err == nil || isVerdict(err) {
		return err
	}
	return fmt.Errorf("reading history %s: %w", s.path, explain(s.path, err))
}

// isVerdict reports whether an error is an answer and not a failure.
func isVerdict(err error) bool {
	_, ambiguous := errors.AsType[*journal.AmbiguousError](err)
	return ambiguous || errors.Is(err, journal.ErrNotFound)
}

// errDamaged is a row whose contents are not what was stored.
var errDamaged = errors.New("the file is damaged")

// explain adds what to do to an error.
func explain(path string, err error) error {
	advice := sqlitefile.Advice{
		Damaged:      damaged,
		Empty:        "put a backup in its place, or remove it to start over",
		Full:         "free some space, or remove old runs",
		NotWritable:  "use another with CLAUDE_FORCE_HOME",
		Path:         "use another folder with CLAUDE_FORCE_HOME",
		Foreign:      "give the history a file of its own, with another folder in CLAUDE_FORCE_HOME",
		WrongKey:     "give that key; without it the runs in the file cannot be read, and nothing was changed",
		Encrypted:    "say where the key is with CLAUDE_FORCE_CACHE_ENCRYPTION_KEY, or use another folder with CLAUDE_FORCE_HOME",
		NotEncrypted: "do without the key, or use another folder with CLAUDE_FORCE_HOME for an encrypted one",
	}
	if errors.Is(err, errDamaged) {
		return fmt.Errorf("%w; %s", err, damaged)
	}
	return advice.Explain(path, err)
}

const damaged = "it may be damaged, or is no history: nothing was changed; keep a copy, and move it away to start with an empty one, or restore a backup"
