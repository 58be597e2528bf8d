// Package cachedb keeps the answers of the response cache in one SQLite file.
//
//	store, err := cachedb.Open(path, cachedb.Options{MaxBytes: 256 << 20})
//	…
//	defer store.Close()
//
// Several processes may use one file at once. The file is in WAL mode with
// synchronous=NORMAL: a crash of the process loses nothing, a power cut perhaps
// the last answers, and neither damages the file. Writes are short immediate
// transactions, so that processes wait for each other instead of failing. Answers that
// come while one is written are written together, in one.
//
// A hit does not write to the store: uses are kept in memory, appended to a file
// beside it by Close, and counted with the next answer that is stored.
//
// Recent answers are also kept in files of their own, so that a process that
// asks what was asked a moment ago need not open SQLite at all.
//
// What is read is verified: a row whose checksum does not match its key and
// contents is removed, and is a miss.
package cachedb

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/internal/seal"
	"github.com/claude-force/claude-force/internal/sqlitefile"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/cache"
	"github.com/claude-force/claude-force/llm/cache/sealed"
)

// DefaultMaxBytes is the size of a store that was not given one.
const DefaultMaxBytes = 1 << 30

// Options are the settings of [Open]. The zero value is ready.
type Options struct {
	// Key encrypts what is said in calls and answers with AES-256-GCM. It has
	// 32 bytes; nil means no encryption.
	Key []byte
	// MaxBytes is the size at which the answers not used for longest are
	// removed, counted in bytes of answers. 0 means [DefaultMaxBytes].
	MaxBytes int64
}

// Store is a [cache.Backend]. It is safe for concurrent use.
type Store struct {
	path string
	max  int64
	box  *seal.Box // nil without encryption

	mu     sync.Mutex // guards the fields below
	closed bool
	conn   *sqlitefile.Conn // nil until it is needed
	get    *sqlite3.Stmt

	recentWrites int // files of recent answers that were written
	written      int // answers

	// These have locks of their own.

	waiting puts
	aside   aside
	uses    uses
	decoded decoded
}

// Open opens the store in a file, which it makes, readable by this user only,
// if there is none. The errors it gives say what to do.
func Open(path string, opts Options) (*Store, error) {
	s := &Store{path: path, max: opts.MaxBytes}
	if s.max <= 0 {
		s.max = DefaultMaxBytes
	}
	var err error
	if s.box, err = seal.New(opts.Key); err != nil {
		return nil, fmt.Errorf("opening cache %s: %w", path, err)
	}
	if s.markFits() {
		return s, nil // opened when it is needed
	}
	if err := s.connect(); err != nil {
		return nil, err
	}
	return s, nil
}

// connect opens the file, if it is not open.
func (s *Store) connect() error {
	if s.conn != nil {
		return nil
	}
	err := s.open()
	if err == nil {
		return nil
	}
	if s.conn != nil {
		err = errors.Join(err, s.conn.Close())
		s.conn = nil
	}
	return fmt.Errorf("opening cache %s: %w", s.path, explain(s.path, err))
}

func (s *Store) open() error {
	var err error
	if s.conn, err = sqlitefile.Open(s.path, sqlitefile.Options{Disposable: true}); err != nil {
		return err
	}
	if err := s.conn.Migrate(s.schema()); err != nil {
		return err
	}
	verifier, err := s.conn.CheckKey(s.box)
	if err != nil {
		return err
	}
	s.mark(verifier)
	s.get, _, err = s.conn.Prepare(selectAnswer)
	return err
}

const selectAnswer = `SELECT agent, model, created, expires, truncated, usd, tokens, sum, data FROM answers WHERE key = ?`

// Close writes what is still to be written. Afterwards every use of the store
// is an error, except Close, which does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	err := errors.Join(s.spool(), s.aside.close())
	if s.conn != nil {
		err = errors.Join(err, s.get.Close(), s.conn.Close())
		s.conn = nil
	}
	if err != nil {
		return fmt.Errorf("closing cache %s: %w", s.path, explain(s.path, err))
	}
	return nil
}

// ready reports why the store cannot be used now. The caller holds mu.
func (s *Store) ready(ctx context.Context) error {
	if ctx.Err() != nil {
		return llm.ContextError(ctx)
	}
	if s.closed {
		return fmt.Errorf("using cache %s: it is closed", s.path)
	}
	return s.connect()
}

// Get returns the answer of a call. See [cache.Store].
func (s *Store) Get(ctx context.Context, key llm.Key, notBefore time.Time) (*cache.Entry, error) {
	if !s.mu.TryLock() {
		e, tokens, err := s.findAside(key)
		if err == nil && (e.Expired(time.Now()) || e.CreatedAt.Before(notBefore)) {
			err = cache.ErrMiss
		}
		switch {
		case err == nil && ctx.Err() == nil:
			s.note(hit(e, tokens))
			return e, nil
		case errors.Is(err, cache.ErrMiss) && ctx.Err() == nil:
			s.note(use{at: time.Now()})
			return nil, err
		}
		s.mu.Lock() // what is wrong is found again, and said
	}
	defer s.mu.Unlock()
	if ctx.Err() == nil && !s.closed && s.conn == nil {
		e, tokens, err := s.findRecent(key)
		if err == nil && !e.Expired(time.Now()) && !e.CreatedAt.Before(notBefore) {
			s.note(hit(e, tokens))
			return e, nil
		}
	}
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	e, tokens, err := s.find(s.get, key)
	if err == nil && (e.Expired(time.Now()) || e.CreatedAt.Before(notBefore)) {
		err = cache.ErrMiss
	}
	switch {
	case errors.Is(err, sealed.ErrDamaged):
		// In a transaction, so that the totals stay right.
		if err := s.conn.Write(func() error { return s.remove(key) }); err != nil {
			return nil, fmt.Errorf("removing a damaged answer: %w", explain(s.path, err))
		}
		err = cache.ErrMiss
		fallthrough
	case errors.Is(err, cache.ErrMiss):
		s.note(use{at: time.Now()})
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("reading cache %s: %w", s.path, explain(s.path, err))
	}
	s.note(hit(e, tokens))
	return e, nil
}

// find reads a row by a statement, which the caller has to itself.
func (s *Store) find(get *sqlite3.Stmt, key llm.Key) (e *cache.Entry, tokens int64, err error) {
	defer func() { err = errors.Join(err, get.Reset()) }()
	if err := get.BindBlob(1, key[:]); err != nil {
		return nil, 0, err
	}
	if !get.Step() {
		if err := get.Err(); err != nil {
			return nil, 0, err
		}
		return nil, 0, cache.ErrMiss
	}
	e, err = s.entry(key, get)
	return e, get.ColumnInt64(6), err
}

// entry returns the row a statement stands on: agent, model, created, expires,
// truncated, usd, tokens, sum, data.
func (s *Store) entry(key llm.Key, row *sqlite3.Stmt) (*cache.Entry, error) {
	data := row.ColumnRawBlob(8)
	e := &cache.Entry{
		Key: key, Agent: row.ColumnText(0), Model: row.ColumnText(1),
		CreatedAt: time.Unix(0, row.ColumnInt64(2)).UTC(), Truncated: row.ColumnBool(4),
	}
	if row.ColumnType(3) != sqlite3.NULL {
		e.ExpiresAt = time.Unix(0, row.ColumnInt64(3)).UTC()
	}
	if row.ColumnType(5) != sqlite3.NULL {
		e.CostUSD = new(row.ColumnFloat(5))
	}
	return s.decoded.open(s.box, e, row.ColumnInt64(6), row.ColumnRawBlob(7), data)
}

// insert adds an answer in place of the one that is there, and returns its size, which the
// caller adds to the totals.
func (s *Store) insert(e *cache.Entry, data []byte) (int64, error) {
	size, tokens := sealed.Size(e, data), sealed.Tokens(e)
	var expires, usd any
	if !e.ExpiresAt.IsZero() {
		expires = e.ExpiresAt.UnixNano()
	}
	if e.CostUSD != nil {
		usd = *e.CostUSD
	}
	insert := func() (int64, error) {
		return s.conn.Change(`INSERT INTO answers (key, agent, model, created, expires, used, size, tokens, usd, truncated, sum, data)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING`,
			e.Key[:], e.Agent, e.Model, e.CreatedAt.UnixNano(), expires, time.Now().UnixNano(), size,
			tokens, usd, e.Truncated, sealed.Checksum(e, tokens, data), data)
	}
	added, err := insert()
	if err != nil || added > 0 {
		return size, err
	}
	if err := s.remove(e.Key); err != nil {
		return 0, err
	}
	_, err = insert()
	return size, err
}
