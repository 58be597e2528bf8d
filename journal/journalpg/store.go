// Package journalpg keeps runs in a PostgreSQL database, which many processes on many
// machines may use at once.
//
//	db, err := postgres.Open(ctx, address)
//	…
//	store, err := journalpg.Open(ctx, db, journalpg.Options{})
//	…
//	defer store.Close()
//
// One goroutine writes what all logs of the store have queued in one transaction, so
// that steps that finish at the same time share one commit. Nothing is locked between
// transactions.
//
// A run belongs to who holds its token. Every transaction that writes events checks it,
// so that a process that lost the run changes nothing, whatever it believes. A process
// says with each transaction, and every few seconds, that it lives, by the database's
// clock. One of this machine that is dead loses its runs at once, one elsewhere after
// [journal.LeaseTTL] in silence.
//
// While the database is away, writers wait and try again. A transaction whose
// connection was lost may have taken effect: each has a number in the row of its
// process, which says so, and is never written twice.
package journalpg

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/process"
	"github.com/claude-force/claude-force/internal/seal"
	"github.com/claude-force/claude-force/journal/groupcommit"
	"github.com/claude-force/claude-force/journal/journalrow"
)

// verified is what the store's verifier is the sealed form of.
const verified = "claude-force journal"

// Options are the settings of [Open]. The zero value is ready.
type Options struct {
	// Key encrypts what was asked and answered, and the names of workflows and files,
	// with AES-256-GCM. Ids, names of steps, keys of items, times and sums stay in clear.
	// It has 32 bytes; nil means no encryption. The first user of a database decides.
	Key []byte
}

// Store is a [journal.Store]. It is safe for concurrent use.
type Store struct {
	db     *postgres.DB
	box    *seal.Box // nil without encryption
	self   process.ID
	writer string // names this store among all that write

	queue *groupcommit.Queue[*batch]

	// Only the committer touches these.
	wrote bool          // a transaction was sent: the database may have the writer's row
	size  int           // how many jobs the last transaction had
	took  time.Duration // and how long it took
	lives journalrow.Lives
	batch int64               // number of the last transaction that is known to be done, or not done
	heads map[string]*header  // of runs that this store owns, as its last transaction left them
	quiet map[string]quietRun // of runs that engines own
}

// Open opens the runs in a database, which is given back by Close. The errors it gives
// say what to do.
func Open(ctx context.Context, db *postgres.DB, opts Options) (*Store, error) {
	return openAs(ctx, db, opts, process.This())
}

func openAs(ctx context.Context, db *postgres.DB, opts Options, self process.ID) (*Store, error) {
	s := &Store{db: db, self: self, writer: rand.Text(), heads: map[string]*header{}, quiet: map[string]quietRun{}}
	s.queue = groupcommit.New(groupcommit.Store[*batch]{Commit: s.commit, Closed: s.errClosed, Seal: s.seal, Append: appendTo, Release: release})
	var err error
	if s.box, err = seal.New(opts.Key); err == nil {
		err = s.checkKey(ctx)
	}
	if err != nil {
		return nil, s.failed("opening", err)
	}
	return s, nil
}

// checkKey compares the store's encryption with that asked for. The first decides it.
func (s *Store) checkKey(ctx context.Context) error {
	var verifier []byte
	err := s.db.QueryRow(ctx, `SELECT verifier FROM journal_cipher`).Scan(&verifier)
	if errors.Is(err, pgx.ErrNoRows) {
		if _, err := s.db.Exec(ctx, `INSERT INTO journal_cipher (verifier) VALUES ($1) ON CONFLICT DO NOTHING`, s.box.Verifier(verified)); err != nil {
			return err
		}
		err = s.db.QueryRow(ctx, `SELECT verifier FROM journal_cipher`).Scan(&verifier)
	}
	if err != nil {
		return err
	}
	return s.box.Check(verifier)
}

// Check returns an error unless the database is in reach and its schema is one that this
// program can use.
func (s *Store) Check(ctx context.Context) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	return s.db.Check(ctx)
}

// Close writes what is queued. Afterwards every use of the store is an error, except
// Close, which does nothing.
func (s *Store) Close() error {
	if !s.queue.Close() {
		return nil
	}
	s.db.Close()
	return nil
}

func (s *Store) errClosed() error { return fmt.Errorf("using the history at %s: it is closed", s.db) }

// ready reports why the store cannot be used now.
func (s *Store) ready(ctx context.Context) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case !s.queue.ClosedAt().IsZero():
		return s.errClosed()
	}
	return nil
}

// errDamaged is a row whose contents are not what was stored.
var errDamaged = errors.New("the history is damaged: nothing was changed; restore a backup of the database")

// failed returns an error of the database, with what to do about it.
func (s *Store) failed(doing string, err error) error {
	for wrong, todo := range map[error]string{
		seal.ErrWrongKey:     "give that key; without it the runs cannot be read, and nothing was changed",
		seal.ErrEncrypted:    "say where the key is with CLAUDE_FORCE_CACHE_ENCRYPTION_KEY",
		seal.ErrNotEncrypted: "do without the key, or use another schema for an encrypted history",
	} {
		if errors.Is(err, wrong) {
			err = fmt.Errorf("%w: %s", err, todo)
		}
	}
	return fmt.Errorf("%s the history at %s: %w", doing, s.db, postgres.Explain(err))
}
