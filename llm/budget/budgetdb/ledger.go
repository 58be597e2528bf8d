// Package budgetdb keeps a budget's ledger in a SQLite file, budget.db, which
// several processes may use at once, so that a ceiling holds for all of them
// together.
//
//	ledger := budgetdb.New(path)
//	defer ledger.Close()
//	b := budget.New(ledger, budget.Options{})
//
// The file is made and opened when the first call reserves, so that a process
// that is answered from the cache does not pay for it.
//
// A reservation of a crashed process counts as spent in full, marked uncertain, if it
// was for an attempt that was sent: its call may have been answered and billed. Others
// are dropped. Only the process's own machine can tell that it crashed; on other
// machines a reservation counts as spent once it is an hour old.
//
// The ledger keeps a note of each attempt until [Ledger.Recorded] says that it is
// recorded elsewhere. What a crashed process has not recorded, [Unrecorded] returns.
//
// What is written survives the end of the process at once. It is flushed to the
// disk right after each transaction and not within it, since a call takes longer
// than a flush and need not wait for it: a power cut can lose what was written in
// the last few milliseconds, but not the day's spending, as with
// synchronous=NORMAL alone.
package budgetdb

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/internal/process"
	"github.com/claude-force/claude-force/internal/sqlitefile"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/budget"
)

//go:embed migrations/*.sql
var migrations embed.FS

// schema is the schema of this version.
var schema = sqlitefile.Schema{Version: 3, Migrations: migrations}

var advice = sqlitefile.Advice{
	Damaged:     "put a backup in its place, or move it away to start with nothing spent; analytics has what calls have cost",
	Empty:       "put a backup in its place, or remove it to start with nothing spent; analytics has what calls have cost",
	Full:        "free some space: no call is made whose cost cannot be stored",
	NotWritable: "make it writable, or name another with CLAUDE_FORCE_HOME",
	Path:        "name another folder with CLAUDE_FORCE_HOME",
	Foreign:     "name another folder with CLAUDE_FORCE_HOME",
}

const (
	// abandoned is the age at which a reservation of a process on another machine
	// counts as spent. No call takes that long.
	abandoned = time.Hour
	// remembered is how long an unused account is kept.
	remembered = 90 * 24 * time.Hour
)

// Ledger is a [budget.Ledger] in a file. Make one with [New]. It is safe for
// concurrent use.
type Ledger struct {
	path string
	self process.ID

	noted budget.Noted

	mu     sync.Mutex // guards the fields below, and is held during a transaction
	conn   *sqlitefile.Conn
	owner  int64
	closed bool
	lost   error // a flush failed

	recorded []int64 // attempts to forget with the next transaction

	dirty   chan struct{} // requests a flush; nil until opened
	flushed chan struct{} // closed when the flushing goroutine ends
}

// New returns the ledger in a file, which need not exist. Close it when done.
func New(path string) *Ledger { return newAs(path, process.This()) }

// newAs returns the ledger as another process would use it.
func newAs(path string, self process.ID) *Ledger {
	return &Ledger{path: path, self: self}
}

// Close closes the file. Reservations that are not settled stay, and count as
// spent once the process has ended.
func (l *Ledger) Close() error {
	l.mu.Lock()
	forget := l.conn != nil && len(l.recorded) > 0
	l.mu.Unlock()
	if forget {
		// What cannot be written is recorded twice at worst, by its id once.
		_ = l.write(func() error { return nil })
	}
	l.mu.Lock()
	l.closed = true
	conn := l.conn
	l.conn = nil
	l.mu.Unlock()
	if conn == nil {
		return nil
	}
	close(l.dirty)
	<-l.flushed
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.lost, conn.Close())
}

var errClosed = errors.New("the budget's ledger is closed")

// write runs a transaction and requests a flush.
func (l *Ledger) write(do func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.try(do)
	// SQLite does not wait where that could deadlock: while another process
	// creates the file, or recovers it after a kill.
	for begin := time.Now(); errors.Is(err, sqlite3.BUSY) && time.Since(begin) < sqlitefile.BusyTimeout; {
		<-time.After(time.Millisecond)
		err = l.try(do)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", l.path, advice.Explain(l.path, err))
	}
	select {
	case l.dirty <- struct{}{}:
	default: // a flush is requested already
	}
	return nil
}

// try runs a transaction, which changes nothing if it fails. The caller holds
// l.mu.
func (l *Ledger) try(do func() error) error {
	if err := l.open(); err != nil {
		return err
	}
	err := l.conn.Write(func() error {
		for _, id := range l.recorded {
			if err := l.conn.Run(`DELETE FROM attempts WHERE id = ?`, id); err != nil {
				return err
			}
		}
		return do()
	})
	if err == nil {
		l.recorded = l.recorded[:0]
	}
	return err
}

// Recorded says that attempts are recorded elsewhere. The ledger forgets them with its
// next transaction.
func (l *Ledger) Recorded(ids ...int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		l.recorded = append(l.recorded, ids...)
	}
}

// open opens the file unless it is open. The caller holds l.mu.
func (l *Ledger) open() error {
	switch {
	case l.lost != nil:
		return l.lost
	case l.closed:
		return errClosed
	case l.conn != nil:
		return nil
	}
	if err := l.connect(); err != nil {
		return err
	}
	if err := l.conn.Write(l.register); err != nil {
		conn := l.conn
		l.conn = nil
		return errors.Join(err, conn.Close())
	}
	l.dirty, l.flushed = make(chan struct{}, 1), make(chan struct{})
	go l.flush() // waited for by Close
	return nil
}

// connect opens the file. The caller holds l.mu.
func (l *Ledger) connect() error {
	conn, err := sqlitefile.Open(l.path, sqlitefile.Options{})
	if err != nil {
		return err
	}
	if err := conn.Migrate(&schema); err != nil {
		return errors.Join(err, conn.Close())
	}
	l.conn = conn
	return nil
}

// flush flushes the log to the disk for each request, until Close.
func (l *Ledger) flush() {
	defer close(l.flushed)
	for range l.dirty {
		if err := flushFile(l.path + "-wal"); err != nil {
			l.mu.Lock()
			l.lost = fmt.Errorf("flushing the ledger: %w", err)
			l.mu.Unlock()
		}
	}
}

// flushFile flushes a file, whoever wrote to it. It opens the file, since another
// program may have replaced it.
func flushFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil // all of it is in the database
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Reserve reserves amount in all accounts or in none.
func (l *Ledger) Reserve(accounts []budget.Account, amount budget.Amount) (budget.Reservation, *budget.Insufficient, error) {
	var id budget.Reservation
	var short *budget.Insufficient
	err := l.write(func() (err error) {
		if short, err = l.check(accounts, amount); err != nil {
			return err
		}
		if short != nil {
			// Some reservations may be of crashed processes. Also a shortage that is final says how
			// much is reserved: a smaller amount would wait for those.
			if err := l.reap(); err != nil {
				return err
			}
			if short, err = l.check(accounts, amount); err != nil {
				return err
			}
		}
		if short != nil {
			return nil
		}
		keys := make([]string, len(accounts))
		for i, a := range accounts {
			keys[i] = a.Key
			if err := l.conn.Run(`INSERT INTO accounts (key, spent_money, spent_tokens, spent_calls, reserved_money, reserved_tokens, reserved_calls, uncertain_money, uncertain_tokens, uncertain_calls, changed) VALUES (?1, 0, 0, 0, ?2, ?3, ?4, 0, 0, 0, ?5) ON CONFLICT (key) DO UPDATE SET
				reserved_money = reserved_money + ?2, reserved_tokens = reserved_tokens + ?3, reserved_calls = reserved_calls + ?4, changed = ?5`,
				a.Key, int64(amount.Money), amount.Tokens, amount.Calls, time.Now().Unix()); err != nil {
				return err
			}
		}
		text, err := json.Marshal(keys)
		if err != nil {
			return err
		}
		err = l.conn.Run(`INSERT INTO holds (owner, accounts, money, tokens, calls, made, attempt) VALUES (?, ?, ?, ?, ?, ?, 0)`,
			l.owner, string(text), int64(amount.Money), amount.Tokens, amount.Calls, time.Now().Unix())
		id = budget.Reservation(l.conn.LastInsertRowID())
		return err
	})
	if err != nil {
		return 0, nil, err
	}
	return id, short, nil
}

// check returns the account that cannot cover amount, or nil.
func (l *Ledger) check(accounts []budget.Account, amount budget.Amount) (*budget.Insufficient, error) {
	balances := make([]budget.Balance, len(accounts))
	for i, a := range accounts {
		var err error
		if balances[i], err = l.balance(a.Key); err != nil {
			return nil, err
		}
	}
	return budget.Check(accounts, balances, amount), nil
}

// Send assigns reservations to an attempt, before it is sent.
func (l *Ledger) Send(a budget.Attempt, rs []budget.Reservation) error {
	return l.write(func() error { return errors.Join(l.note(&a), l.assign(a.ID, rs)) })
}

// Return takes reservations from an attempt that cost nothing.
func (l *Ledger) Return(a budget.Attempt, rs []budget.Reservation) error {
	return l.write(func() error { return errors.Join(l.note(&a), l.assign(0, rs)) })
}

// assign sets what attempt reservations are for.
func (l *Ledger) assign(attempt int64, rs []budget.Reservation) (err error) {
	for _, r := range rs {
		err = errors.Join(err, l.conn.Run(`UPDATE holds SET attempt = ? WHERE id = ? AND owner = ?`, attempt, int64(r), l.owner))
	}
	return err
}

// note keeps the note of an attempt, or forgets the attempt if it is empty.
func (l *Ledger) note(a *budget.Attempt) error {
	switch {
	case a == nil:
		return nil
	case a.Note == "":
		return l.conn.Run(`DELETE FROM attempts WHERE id = ?`, a.ID)
	}
	return l.conn.Run(`INSERT INTO attempts (id, owner, note, made) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (id) DO UPDATE SET note = ?3`, a.ID, l.owner, a.Note, time.Now().Unix())
}

// Settle replaces reservations with what was spent.
func (l *Ledger) Settle(a *budget.Attempt, rs []budget.Reservation, spent, uncertain budget.Amount) error {
	return l.write(func() error {
		spent, uncertain := spent, uncertain
		for _, id := range rs {
			found, err := l.reservations(`SELECT id, accounts, money, tokens, calls FROM holds WHERE id = ? AND owner = ?`, int64(id), l.owner)
			if err != nil || len(found) == 0 {
				return err
			}
			if err := l.end(found[0], spent, uncertain); err != nil {
				return err
			}
			spent, uncertain = budget.Amount{}, budget.Amount{} // charged once
		}
		return l.note(a)
	})
}

// Balance returns the state of an account.
func (l *Ledger) Balance(key string) (b budget.Balance, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err = l.open(); err == nil {
		b, err = l.balance(key)
	}
	if err != nil {
		return budget.Balance{}, fmt.Errorf("reading %s: %w", l.path, advice.Explain(l.path, err))
	}
	return b, nil
}

// balance reads the state of an account. The caller holds l.mu.
func (l *Ledger) balance(key string) (b budget.Balance, err error) {
	amount := func(row *sqlite3.Stmt, at int) budget.Amount {
		return budget.Amount{Money: llm.Money(row.ColumnInt64(at)), Tokens: row.ColumnInt64(at + 1), Calls: row.ColumnInt64(at + 2)}
	}
	err = l.conn.Query(`SELECT spent_money, spent_tokens, spent_calls, reserved_money, reserved_tokens, reserved_calls,
		uncertain_money, uncertain_tokens, uncertain_calls FROM accounts WHERE key = ?`, func(row *sqlite3.Stmt) error {
		b = budget.Balance{Spent: amount(row, 0), Reserved: amount(row, 3), Uncertain: amount(row, 6)}
		return nil
	}, key)
	return b, err
}

// Balances returns the states of the accounts whose keys start with prefix.
func (l *Ledger) Balances(prefix string) (map[string]budget.Balance, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := map[string]budget.Balance{}
	err := l.open()
	if err == nil {
		var keys []string
		err = l.conn.Query(`SELECT key FROM accounts WHERE substr(key, 1, length(?1)) = ?1`, func(row *sqlite3.Stmt) error {
			keys = append(keys, row.ColumnText(0))
			return nil
		}, prefix)
		for _, key := range keys {
			if err == nil {
				found[key], err = l.balance(key)
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", l.path, advice.Explain(l.path, err))
	}
	return found, nil
}
