package budgetpg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/llm/budget"
)

var _ budget.Ledger = (*Ledger)(nil)

// Reserve implements [budget.Ledger].
func (l *Ledger) Reserve(accounts []budget.Account, amount budget.Amount) (budget.Reservation, *budget.Insufficient, error) {
	id := newID()
	var short *budget.Insufficient
	reserve := func() error {
		return l.write(func(t *transaction) (err error) {
			short, err = l.reserve(t, id, accounts, amount)
			return err
		})
	}
	err := reserve()
	if err == nil && short != nil {
		// Some reservations may be of crashed processes. Also a shortage that is final says
		// how much is reserved: a smaller amount would wait for those.
		var n int
		err = l.patiently(func(ctx context.Context) (err error) {
			n, err = l.reap(ctx)
			return err
		})
		if err != nil {
			err = fmt.Errorf("reading the budgets at %s: %w", l.db, postgres.Explain(err))
		} else if n > 0 {
			err = reserve()
		}
	}
	if err != nil {
		return 0, nil, err
	}
	return budget.Reservation(id), short, nil
}

// balanceColumns are those that readBalance reads.
const balanceColumns = `key, spent_money, spent_tokens, spent_calls, reserved_money, reserved_tokens, reserved_calls, uncertain_money, uncertain_tokens, uncertain_calls`

func readBalance(row pgx.CollectableRow) (account, error) {
	var a account
	b := &a.balance
	err := row.Scan(&a.key, (*int64)(&b.Spent.Money), &b.Spent.Tokens, &b.Spent.Calls, (*int64)(&b.Reserved.Money), &b.Reserved.Tokens, &b.Reserved.Calls,
		(*int64)(&b.Uncertain.Money), &b.Uncertain.Tokens, &b.Uncertain.Calls)
	return a, err
}

type account struct {
	key     []byte
	balance budget.Balance
}

func (l *Ledger) reserve(t *transaction, id int64, accounts []budget.Account, amount budget.Amount) (*budget.Insufficient, error) {
	keys := make([][]byte, len(accounts))
	for i, a := range accounts {
		keys[i] = []byte(a.Key)
	}
	send := &pgx.Batch{}
	send.Queue(`BEGIN`)
	send.Queue(`SET LOCAL idle_in_transaction_session_timeout = ` + idleInReserve)
	send.Queue(`SELECT EXISTS (SELECT FROM budget_reservations WHERE id = $1), EXISTS (SELECT FROM budget_owners WHERE id = $2 AND NOT ended FOR KEY SHARE)`, id, t.owner)
	send.Queue(`INSERT INTO budget_accounts (key) SELECT key FROM unnest($1::bytea[]) key ORDER BY key ON CONFLICT DO NOTHING`, keys)
	send.Queue(`SELECT `+balanceColumns+` FROM budget_accounts WHERE key = ANY($1) ORDER BY key FOR UPDATE`, keys)
	results := t.conn.SendBatch(t.ctx, send)
	var done, owned bool
	_, beginErr := results.Exec()
	_, setErr := results.Exec()
	ownerErr := results.QueryRow().Scan(&done, &owned)
	_, insertErr := results.Exec()
	rows, queryErr := results.Query()
	found, rowsErr := pgx.CollectRows(rows, readBalance)
	if err := cmp.Or(beginErr, setErr, ownerErr, insertErr, queryErr, rowsErr, results.Close()); err != nil {
		return nil, err
	}
	switch {
	case done: // by the attempt before
		return nil, t.rollback()
	case !owned:
		return nil, errors.Join(errOwnerGone, t.rollback())
	}
	known := map[string]budget.Balance{}
	for _, a := range found {
		known[string(a.key)] = a.balance
	}
	balances := make([]budget.Balance, len(accounts))
	for i, a := range accounts {
		balances[i] = known[a.Key]
	}
	if short := budget.Check(accounts, balances, amount); short != nil {
		return short, t.rollback()
	}
	send = &pgx.Batch{}
	send.Queue(`UPDATE budget_accounts SET reserved_money = reserved_money + $2, reserved_tokens = reserved_tokens + $3, reserved_calls = reserved_calls + $4,
		changed = clock_timestamp() WHERE key = ANY($1)`, keys, int64(amount.Money), amount.Tokens, amount.Calls)
	send.Queue(`INSERT INTO budget_reservations (id, owner, accounts, money, tokens, calls) VALUES ($1, $2, $3, $4, $5, $6)`,
		id, t.owner, keys, int64(amount.Money), amount.Tokens, amount.Calls)
	return nil, l.commit(t, send)
}

// Send implements [budget.Ledger]. It fails if a reservation has ended.
func (l *Ledger) Send(a budget.Attempt, rs []budget.Reservation) error {
	return l.write(func(t *transaction) error { return l.assign(t, &a, a.ID, rs) })
}

// Return implements [budget.Ledger].
func (l *Ledger) Return(a budget.Attempt, rs []budget.Reservation) error {
	return l.write(func(t *transaction) error { return l.assign(t, &a, 0, rs) })
}

// assign sets what attempt reservations are for, and keeps the note of a.
func (l *Ledger) assign(t *transaction, a *budget.Attempt, attempt int64, rs []budget.Reservation) error {
	send := &pgx.Batch{}
	send.Queue(`BEGIN`)
	send.Queue(`WITH held AS (SELECT id FROM budget_reservations WHERE id = ANY($1) ORDER BY id FOR UPDATE)
		UPDATE budget_reservations r SET attempt = $2 FROM held WHERE r.id = held.id`, numbers(rs), attempt)
	results := t.conn.SendBatch(t.ctx, send)
	_, beginErr := results.Exec()
	tag, err := results.Exec()
	if err := cmp.Or(beginErr, err, results.Close()); err != nil {
		return err
	}
	if attempt != 0 && tag.RowsAffected() < int64(len(rs)) {
		return errors.Join(errNotHeld, t.rollback())
	}
	send = &pgx.Batch{}
	note(send, t.owner, a)
	return l.commit(t, send)
}

func numbers(rs []budget.Reservation) []int64 {
	ids := make([]int64, len(rs))
	for i, r := range rs {
		ids[i] = int64(r)
	}
	return ids
}

// note queues what keeps the note of an attempt, or forgets the attempt if it is empty.
func note(b *pgx.Batch, owner int64, a *budget.Attempt) {
	switch {
	case a == nil:
	case a.Note == "":
		forget(b, []int64{a.ID})
	default:
		b.Queue(`INSERT INTO budget_attempts (id, owner, note) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET owner = $2, note = $3`, a.ID, owner, []byte(a.Note))
	}
}

// reservation is a row of budget_reservations.
type reservation struct {
	id      int64
	keys    [][]byte
	amount  budget.Amount
	attempt int64
}

// reservationColumns are those that readReservation reads.
const reservationColumns = `id, accounts, money, tokens, calls, attempt`

func readReservation(row pgx.CollectableRow) (r reservation, err error) {
	err = row.Scan(&r.id, &r.keys, (*int64)(&r.amount.Money), &r.amount.Tokens, &r.amount.Calls, &r.attempt)
	return r, err
}

// ends are reservations that end, and what that changes in each account, by key.
type ends struct {
	ids     []int64
	changes map[string]*change
}

type change struct{ released, spent, uncertain budget.Amount }

// add replaces a reservation with what was spent, of which uncertain is a part.
func (e *ends) add(r reservation, spent, uncertain budget.Amount) {
	if e.changes == nil {
		e.changes = map[string]*change{}
	}
	e.ids = append(e.ids, r.id)
	for _, key := range r.keys {
		c := e.changes[string(key)]
		if c == nil {
			c = &change{}
			e.changes[string(key)] = c
		}
		c.released, c.spent, c.uncertain = c.released.Plus(r.amount), c.spent.Plus(spent), c.uncertain.Plus(uncertain)
	}
}

// queue adds the statements that change the accounts, in the order of their keys.
func (e *ends) queue(b *pgx.Batch) {
	for _, key := range slices.Sorted(maps.Keys(e.changes)) {
		c := e.changes[key]
		b.Queue(`UPDATE budget_accounts SET
			reserved_money = reserved_money - $2, reserved_tokens = reserved_tokens - $3, reserved_calls = reserved_calls - $4,
			spent_money = spent_money + $5, spent_tokens = spent_tokens + $6, spent_calls = spent_calls + $7,
			uncertain_money = uncertain_money + $8, uncertain_tokens = uncertain_tokens + $9, uncertain_calls = uncertain_calls + $10,
			changed = clock_timestamp() WHERE key = $1`,
			[]byte(key), int64(c.released.Money), c.released.Tokens, c.released.Calls, int64(c.spent.Money), c.spent.Tokens, c.spent.Calls,
			int64(c.uncertain.Money), c.uncertain.Tokens, c.uncertain.Calls)
	}
	if len(e.ids) > 0 {
		b.Queue(`DELETE FROM budget_reservations WHERE id = ANY($1)`, e.ids)
	}
}

// Settle implements [budget.Ledger].
func (l *Ledger) Settle(a *budget.Attempt, rs []budget.Reservation, spent, uncertain budget.Amount) error {
	return l.write(func(t *transaction) error {
		send := &pgx.Batch{}
		send.Queue(`BEGIN`)
		send.Queue(`SELECT `+reservationColumns+` FROM budget_reservations WHERE id = ANY($1) ORDER BY id FOR UPDATE`, numbers(rs))
		results := t.conn.SendBatch(t.ctx, send)
		_, beginErr := results.Exec()
		rows, err := results.Query()
		found, rowsErr := pgx.CollectRows(rows, readReservation)
		if err := cmp.Or(beginErr, err, rowsErr, results.Close()); err != nil {
			return err
		}
		held := map[int64]reservation{}
		for _, r := range found {
			held[r.id] = r
		}
		if len(rs) > 0 {
			if _, ok := held[int64(rs[0])]; !ok {
				return t.rollback() // it was charged, or by the attempt before this one
			}
		}
		ends := ends{}
		spent, uncertain := spent, uncertain
		for _, id := range rs {
			if r, ok := held[int64(id)]; ok {
				ends.add(r, spent, uncertain)
				spent, uncertain = budget.Amount{}, budget.Amount{} // charged once
			}
		}
		send = &pgx.Batch{}
		ends.queue(send)
		note(send, t.owner, a)
		return l.commit(t, send)
	})
}

// read calls do, and tries again while the database is away.
func (l *Ledger) read(do func(context.Context) error) error {
	l.mu.Lock()
	closed := l.closed
	l.mu.Unlock()
	err := errClosed
	if !closed {
		err = l.patiently(do)
	}
	if err != nil {
		return fmt.Errorf("reading the budgets at %s: %w", l.db, postgres.Explain(err))
	}
	return nil
}

// Balance implements [budget.Ledger].
func (l *Ledger) Balance(key string) (budget.Balance, error) {
	found, err := l.balances(`key = $1`, []byte(key))
	return found[key], err
}

// Balances returns the states of the accounts whose keys start with prefix.
func (l *Ledger) Balances(prefix string) (map[string]budget.Balance, error) {
	return l.balances(`substring(key FOR length($1::bytea)) = $1`, []byte(prefix))
}

func (l *Ledger) balances(where string, args ...any) (map[string]budget.Balance, error) {
	found := map[string]budget.Balance{}
	err := l.read(func(ctx context.Context) error {
		rows, err := l.db.Query(ctx, `SELECT `+balanceColumns+` FROM budget_accounts WHERE `+where, args...)
		if err != nil {
			return err
		}
		list, err := pgx.CollectRows(rows, readBalance)
		for _, a := range list {
			found[string(a.key)] = a.balance
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}
