// Package cachepg keeps the answers of the response cache in a PostgreSQL database, for
// the processes of several machines.
//
//	db, err := postgres.Open(ctx, address)
//	…
//	store, err := cachepg.Open(ctx, db, cachepg.Options{MaxBytes: 10 << 30})
//
// An answer is one row. PostgreSQL moves what is large out of line by itself (TOAST) and
// gives it back with the row, in one round trip; rows of our own for pieces, or large
// objects, would need more of them, and a job that removes what a crash has left.
//
// A hit does not write: uses are kept in memory, up to a bound, and counted with the next
// answer that is stored, or many at a time. What a process that is killed has not counted
// is lost, of uses only. Sums are in parts, one of which each process adds to, so that
// processes do not wait for each other. Answers that come while one is written are
// written together. What is too old or too much is removed by one process at a time.
//
// What is read is verified, as in the store in a file.
package cachepg

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/seal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/cache"
	"github.com/claude-force/claude-force/llm/cache/sealed"
)

// DefaultMaxBytes is the size of a store that was not given one.
const DefaultMaxBytes = 1 << 30

const (
	// timeout bounds one use of the database. The cache is worth less than the time that
	// a database takes which does not answer.
	timeout = 10 * time.Second
	// rest is how long a database that could not be reached is left alone.
	rest = time.Second
	// parts is how many rows the sums are in.
	parts = 16
)

// Options are the settings of [Open]. The zero value is ready.
type Options struct {
	// Key encrypts what is said in calls and answers with AES-256-GCM. It has
	// 32 bytes; nil means no encryption. All who use the database must give the same.
	Key []byte
	// MaxBytes is the size at which the answers not used for longest are removed, counted
	// in bytes of answers. 0 means [DefaultMaxBytes]. The least that a process gives holds.
	MaxBytes int64
}

// Store is a [cache.Backend]. It is safe for concurrent use.
type Store struct {
	db   *postgres.DB
	max  int64
	box  *seal.Box // nil without encryption
	part int       // of the sums, that this process adds to

	waiting puts
	uses    uses

	mu     sync.Mutex // guards the fields below
	closed bool
	down   error     // why the database could not be reached
	until  time.Time // when it is tried again
}

var _ cache.Backend = (*Store)(nil)

// verified is what the store's verifier is the sealed form of.
const verified = "claude-force cache"

// Open opens the store in a database, which is given back by Close. Errors of another
// encryption than the store has match those of the store in a file.
func Open(ctx context.Context, db *postgres.DB, opts Options) (*Store, error) {
	s := &Store{db: db, max: opts.MaxBytes, part: rand.IntN(parts)}
	if s.max <= 0 {
		s.max = DefaultMaxBytes
	}
	var err error
	if s.box, err = seal.New(opts.Key); err == nil {
		err = s.checkKey(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the cache at %s: %w", db, explain(err))
	}
	return s, nil
}

// checkKey compares the store's encryption with that asked for. The first decides it.
func (s *Store) checkKey(ctx context.Context) error {
	if _, err := s.db.Exec(ctx, `INSERT INTO cache_cipher (verifier) VALUES ($1) ON CONFLICT DO NOTHING`, s.box.Verifier(verified)); err != nil {
		return err
	}
	var verifier []byte
	if err := s.db.QueryRow(ctx, `SELECT verifier FROM cache_cipher`).Scan(&verifier); err != nil {
		return err
	}
	return s.box.Check(verifier)
}

// explain adds what to do to an error.
func explain(err error) error {
	for wrong, todo := range map[error]string{
		seal.ErrWrongKey:     "give that key, or clear the table cache_answers and cache_cipher to start with an empty cache",
		seal.ErrEncrypted:    "say where the key is with CLAUDE_FORCE_CACHE_ENCRYPTION_KEY",
		seal.ErrNotEncrypted: "clear the tables cache_answers and cache_cipher to begin an encrypted one, or use another schema",
	} {
		if errors.Is(err, wrong) {
			return fmt.Errorf("%w: %s", err, todo)
		}
	}
	return postgres.Explain(err)
}

// use calls do with a context for one use of the database. verb says what for, such as
// "reading".
func (s *Store) use(ctx context.Context, verb string, do func(context.Context) error) error {
	if err := s.ready(ctx, verb); err != nil {
		return err
	}
	work, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := do(work)
	switch {
	case err == nil, errors.Is(err, cache.ErrMiss):
		return err
	case ctx.Err() != nil:
		return llm.ContextError(ctx)
	}
	err = fmt.Errorf("%s the cache at %s: %w", verb, s.db, explain(err))
	if postgres.Transient(err) {
		s.mu.Lock()
		s.down, s.until = err, time.Now().Add(rest)
		s.mu.Unlock()
	}
	return err
}

// ready reports why the store cannot be used now.
func (s *Store) ready(ctx context.Context, verb string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return llm.ContextError(ctx)
	case s.closed:
		return fmt.Errorf("%s the cache at %s: it is closed", verb, s.db)
	case time.Now().Before(s.until):
		return s.down
	}
	return nil
}

// Close counts the uses that are in memory and gives the database back.
func (s *Store) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	defer s.db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), timeout) //nolint:forbidigo // Close takes none
	defer cancel()
	if err := s.flushUses(ctx); err != nil {
		return fmt.Errorf("closing the cache at %s: %w", s.db, explain(err))
	}
	return nil
}

// columns are those of an answer, in the order in which scan reads them.
const columns = `a.key, a.agent, a.model, a.created, a.expires, a.truncated, a.usd, a.tokens, a.sum, a.data`

// scan reads an answer. With [sealed.ErrDamaged] the entry has what is still known.
func (s *Store) scan(row pgx.Row) (e *cache.Entry, tokens int64, err error) {
	e = &cache.Entry{}
	var key, sum, data []byte
	var created int64
	var expires *int64
	if err := row.Scan(&key, &e.Agent, &e.Model, &created, &expires, &e.Truncated, &e.CostUSD, &tokens, &sum, &data); err != nil {
		return nil, 0, err
	}
	copy(e.Key[:], key)
	e.CreatedAt = time.Unix(0, created).UTC()
	if expires != nil {
		e.ExpiresAt = time.Unix(0, *expires).UTC()
	}
	if whole, err := sealed.Open(s.box, e, tokens, sum, data); err == nil {
		return whole, tokens, nil
	}
	return sealed.Damaged(e), tokens, sealed.ErrDamaged
}

// Get implements [cache.Store].
func (s *Store) Get(ctx context.Context, key llm.Key, notBefore time.Time) (e *cache.Entry, err error) {
	var tokens int64
	err = s.use(ctx, "reading", func(ctx context.Context) error {
		e, tokens, err = s.scan(s.db.QueryRow(ctx, `SELECT `+columns+` FROM cache_answers a WHERE key = $1`, key[:]))
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return cache.ErrMiss
		case errors.Is(err, sealed.ErrDamaged):
			if err := s.remove(ctx, key); err != nil {
				return fmt.Errorf("removing a damaged answer: %w", err)
			}
			return cache.ErrMiss
		case err != nil:
			return err
		case e.Expired(time.Now()) || e.CreatedAt.Before(notBefore):
			return cache.ErrMiss
		}
		return nil
	})
	switch {
	case errors.Is(err, cache.ErrMiss):
		s.note(ctx, use{})
		return nil, cache.ErrMiss
	case err != nil:
		return nil, err
	}
	s.note(ctx, use{key: key, hit: true, tokens: tokens, usd: e.CostUSD})
	return e, nil
}

// remove removes an answer.
func (s *Store) remove(ctx context.Context, key llm.Key) error {
	return postgres.Retry(ctx, func() error {
		return pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error {
			_, _, err := s.drop(ctx, tx, `key = $1`, key[:])
			return err
		})
	})
}

// drop removes the answers that a condition chooses, in a transaction, and keeps the sums
// right. Rows are locked in the order of their keys, as everywhere.
func (s *Store) drop(ctx context.Context, tx pgx.Tx, where string, args ...any) (n, bytes int64, err error) {
	err = tx.QueryRow(ctx, `
		WITH chosen AS (SELECT key FROM cache_answers WHERE `+where+` ORDER BY key FOR UPDATE),
			gone AS (DELETE FROM cache_answers a USING chosen c WHERE a.key = c.key RETURNING a.key, a.size),
			uses AS (DELETE FROM cache_uses u USING gone g WHERE u.key = g.key)
		SELECT count(*), coalesce(sum(size), 0)::bigint FROM gone`, args...).Scan(&n, &bytes)
	if err != nil || n == 0 {
		return n, bytes, err
	}
	_, err = tx.Exec(ctx, `UPDATE cache_totals SET entries = entries - $2, bytes = bytes - $3 WHERE part = $1`, s.part, n, bytes)
	return n, bytes, err
}
