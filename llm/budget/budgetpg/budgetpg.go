// Package budgetpg keeps a budget's ledger in a PostgreSQL database, so that a ceiling
// holds for the processes of several machines together.
//
//	db, err := postgres.Open(ctx, address)
//	…
//	ledger := budgetpg.New(db)
//	defer ledger.Close()
//	b := budget.New(ledger, budget.Options{})
//
// A reservation locks its accounts in the order of their keys, compares what is left of
// them, and takes all or none, in one transaction. Its id is random and made before: if
// the connection is lost during a commit, the retry finds out whether that took effect.
// The other changes do the same when they are repeated. While the database is away, calls
// wait for it, up to a bound.
//
// Each process has a lease, by the clock of the database, which it extends as long as it
// lives. Once the lease has ended, any other process charges in full, marked uncertain,
// what the process had reserved for attempts that were sent, and releases the rest. On the
// same machine a crash is seen at once. A process that was only cut off from the database
// cannot send what was released: [Ledger.Send] fails. Leases are extended by a restart of
// the database, during which no process can do so.
//
// The ledger keeps a note of each attempt until [Ledger.Recorded] says that it is recorded
// elsewhere. What a crashed process has not recorded, [Ledger.Unrecorded] returns.
package budgetpg

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/process"
	"github.com/claude-force/claude-force/llm/budget"
)

const (
	// leaseTime is how long a process that has not been heard of keeps its reservations.
	leaseTime = 15 * time.Second
	// timeout bounds one attempt at a transaction.
	timeout = 10 * time.Second
	// idleInReserve is when the server ends a reservation whose process is silent, in
	// milliseconds. All processes wait for its locks, and the process may be on a machine
	// that was just cut off.
	idleInReserve = "2000"
	// patience is how long a call waits for a database that is away, such as during a
	// restart.
	patience = 30 * time.Second
	// remembered is how long an unused account is kept.
	remembered = 90 * 24 * time.Hour
)

// Ledger is a [budget.Ledger] in a database. Make one with [New]. It is safe for
// concurrent use.
type Ledger struct {
	db              *postgres.DB
	self            process.ID
	lease, patience time.Duration

	entering sync.Mutex // is held while the process gets an owner

	noted budget.Noted

	mu       sync.Mutex // guards the fields below
	owner    int64      // 0 for none yet, or not any more
	closed   bool
	recorded []int64 // attempts to forget with the next transaction

	closing chan struct{} // closed by Close
	beating chan struct{} // closed when no lease is extended any more; nil before the first
}

// New returns the ledger in a database, which is given back by Close. It connects when the
// first call reserves.
func New(db *postgres.DB) *Ledger {
	return &Ledger{db: db, self: process.This(), lease: leaseTime, patience: patience, closing: make(chan struct{})}
}

var (
	errClosed = errors.New("the budget's ledger is closed")
	// errNotHeld says that an attempt must not be sent.
	errNotHeld = errors.New("the reservation has ended, since this process could not reach the database for longer than its lease")
	// errOwnerGone says that the process needs another owner; the transaction is tried again.
	errOwnerGone = errors.New("the lease of this process has ended")
)

// Close forgets the attempts that are recorded, and gives the database back. Reservations
// that are not settled stay until the lease ends.
func (l *Ledger) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	owner, recorded, beating := l.owner, l.recorded, l.beating
	l.mu.Unlock()
	close(l.closing)
	if beating != nil {
		<-beating
	}
	defer l.db.Close()
	if owner == 0 {
		return nil
	}
	// What cannot be written is recorded twice at worst, by its id once; and another
	// process removes the owner, once its lease has ended.
	ctx, cancel := context.WithTimeout(context.Background(), time.Second) //nolint:forbidigo // a ledger is given none
	defer cancel()
	send := &pgx.Batch{}
	forget(send, recorded)
	_ = l.db.SendBatch(ctx, send).Close()
	_ = l.leave(ctx, owner)
	return nil
}

// newID returns a number that no other reservation has.
func newID() int64 { return rand.Int64() }

// transaction is one of a process that has an owner. Its first statement is BEGIN, and
// its last one COMMIT or ROLLBACK; if it has none, its connection is closed.
type transaction struct {
	ctx   context.Context //nolint:containedctx // of the transaction
	conn  *pgxpool.Conn
	owner int64
}

// send sends statements at once.
func (t *transaction) send(b *pgx.Batch) error { return t.conn.SendBatch(t.ctx, b).Close() }

// rollback ends the transaction without an effect.
func (t *transaction) rollback() error {
	_, err := t.conn.Exec(t.ctx, `ROLLBACK`)
	return err
}

// write runs a transaction, and tries again while the database is away. do must have the
// same effect if it is repeated.
func (l *Ledger) write(do func(t *transaction) error) error {
	err := l.patiently(func(ctx context.Context) error {
		owner, err := l.enter(ctx)
		if err != nil {
			return err
		}
		conn, err := l.db.Acquire(ctx)
		if err != nil {
			return err
		}
		defer conn.Release() // which closes it unless the transaction has ended
		err = do(&transaction{ctx, conn, owner})
		if errors.Is(err, errOwnerGone) {
			l.lose(owner)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("writing the budgets at %s: %w", l.db, postgres.Explain(err))
	}
	return nil
}

// patiently calls do until it has no error that may pass, or the time is up.
func (l *Ledger) patiently(do func(context.Context) error) error {
	begin := time.Now()
	for delay := 10 * time.Millisecond; ; delay = min(2*delay, 500*time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), timeout) //nolint:forbidigo // a ledger is given none
		err := postgres.Retry(ctx, func() error { return do(ctx) })
		cancel()
		if !passing(err) || time.Since(begin) >= l.patience {
			return err
		}
		select {
		case <-time.After(delay):
		case <-l.closing:
			return err
		}
	}
}

// passing reports whether a transaction that failed is to be tried again.
func passing(err error) bool {
	switch {
	case errors.Is(err, errOwnerGone):
		return true
	case errors.Is(err, errClosed), errors.Is(err, errNotHeld):
		return false
	}
	// The attempt before had the same id, and was still under way.
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == "23505" { // unique_violation
		return true
	}
	return postgres.Transient(err)
}

// Recorded says that attempts are recorded elsewhere. The ledger forgets them with one of
// its next transactions.
func (l *Ledger) Recorded(ids ...int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.owner != 0 {
		l.recorded = append(l.recorded, ids...)
	}
}

// commit adds to the last statements of a transaction what else is to be written, and
// sends them.
func (l *Ledger) commit(t *transaction, b *pgx.Batch) error {
	l.mu.Lock()
	recorded := l.recorded
	l.recorded = nil
	l.mu.Unlock()
	forget(b, recorded)
	b.Queue(`COMMIT`)
	err := t.send(b)
	if err != nil {
		l.mu.Lock()
		l.recorded = append(l.recorded, recorded...)
		l.mu.Unlock()
	}
	return err
}

// forget queues the removal of attempts.
func forget(b *pgx.Batch, ids []int64) {
	if len(ids) > 0 {
		slices.Sort(ids)
		b.Queue(`DELETE FROM budget_attempts WHERE id IN (SELECT id FROM budget_attempts WHERE id = ANY($1) ORDER BY id FOR UPDATE)`, ids)
	}
}
