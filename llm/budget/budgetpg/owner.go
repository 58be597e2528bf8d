package budgetpg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/internal/process"
)

// enter returns the owner of this process's reservations, and makes one unless there is.
func (l *Ledger) enter(ctx context.Context) (int64, error) {
	l.entering.Lock()
	defer l.entering.Unlock()
	l.mu.Lock()
	owner, closed := l.owner, l.closed
	l.mu.Unlock()
	switch {
	case closed:
		return 0, errClosed
	case owner != 0:
		return owner, nil
	}
	if err := l.tidy(ctx); err != nil {
		return 0, err
	}
	err := l.db.QueryRow(ctx, `INSERT INTO budget_owners (host, boot, pid, born, expires) VALUES ($1, $2, $3, $4, clock_timestamp() + $5::interval) RETURNING id`,
		l.self.Host, l.self.Boot, l.self.PID, l.self.Born, l.lease).Scan(&owner)
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.owner = owner
	if l.beating == nil && !l.closed {
		l.beating = make(chan struct{})
		go l.beat(l.beating) // Close waits for it
	}
	return owner, nil
}

// lose has the next transaction make another owner.
func (l *Ledger) lose(owner int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.owner == owner {
		l.owner = 0
	}
}

// leave removes the owner of this process if it has nothing.
func (l *Ledger) leave(ctx context.Context, owner int64) error {
	_, err := l.db.Exec(ctx, `DELETE FROM budget_owners o WHERE id = $1 AND NOT EXISTS (SELECT FROM budget_reservations WHERE owner = o.id)
		AND NOT EXISTS (SELECT FROM budget_attempts WHERE owner = o.id)`, owner)
	return err
}

// beat extends the lease until the ledger is closed, and charges what others have left.
func (l *Ledger) beat(ended chan<- struct{}) {
	defer close(ended)
	every := time.NewTicker(l.lease / 3)
	defer every.Stop()
	for {
		select {
		case <-l.closing:
			return
		case <-every.C:
		}
		l.beatOnce()
	}
}

// beatOnce extends the lease. What fails is tried again with the next beat; calls say so
// themselves.
func (l *Ledger) beatOnce() {
	l.mu.Lock()
	owner := l.owner
	l.mu.Unlock()
	if owner == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout) //nolint:forbidigo // a ledger is given none
	defer cancel()
	tag, err := l.db.Exec(ctx, `UPDATE budget_owners SET expires = clock_timestamp() + $2::interval WHERE id = $1 AND NOT ended`, owner, l.lease)
	if err == nil && tag.RowsAffected() == 0 {
		l.lose(owner)
	}
	if err == nil {
		_, _ = l.reap(ctx)
	}
}

// tidy removes what is no longer used.
func (l *Ledger) tidy(ctx context.Context) error {
	if _, err := l.reap(ctx); err != nil {
		return err
	}
	for _, sql := range []string{
		`DELETE FROM budget_attempts WHERE made < clock_timestamp() - $1::interval`,
		`DELETE FROM budget_exceeded WHERE at < clock_timestamp() - $1::interval`,
		`DELETE FROM budget_accounts WHERE key IN (SELECT key FROM budget_accounts WHERE changed < clock_timestamp() - $1::interval
			AND reserved_money = 0 AND reserved_tokens = 0 AND reserved_calls = 0 FOR UPDATE SKIP LOCKED)`,
	} {
		if _, err := l.db.Exec(ctx, sql, remembered); err != nil {
			return fmt.Errorf("removing what is old: %w", err)
		}
	}
	return nil
}

// expired is the condition for an owner o whose lease has ended, of the lease as value $1.
// No process could extend its own before the server had started.
const expired = `(o.ended OR greatest(o.expires, pg_postmaster_start_time() + $1::interval) < clock_timestamp())`

// gone returns the owners that reserve no more, in order: those whose lease has ended,
// and those that are known to be dead, which it also returns by themselves.
func (l *Ledger) gone(ctx context.Context) (ids []int64, dead map[int64]bool, err error) {
	rows, err := l.db.Query(ctx, `SELECT o.id, host, boot, pid, born, `+expired+` FROM budget_owners o
		WHERE NOT ended OR NOT EXISTS (SELECT FROM budget_attempts WHERE owner = o.id) ORDER BY o.id`, l.lease)
	if err != nil {
		return nil, nil, err
	}
	dead = map[int64]bool{}
	var id int64
	var p process.ID
	var late bool
	_, err = pgx.ForEachRow(rows, []any{&id, &p.Host, &p.Boot, &p.PID, &p.Born, &late}, func() error {
		dead[id] = p.Dead(l.self)
		if late || dead[id] {
			ids = append(ids, id)
		}
		return nil
	})
	return ids, dead, err
}

// maxReaped bounds a transaction of reap; the rest is for the next ones.
const maxReaped = 500

// reap charges what crashed processes, and those that were cut off, had reserved and sent,
// and releases what they had not sent. It returns how many reservations that were.
func (l *Ledger) reap(ctx context.Context) (n int, err error) {
	ids, dead, err := l.gone(ctx)
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		for more := true; more; {
			ended, err := l.reapOwner(ctx, id, dead[id])
			if err != nil {
				return n, fmt.Errorf("charging what a process has left: %w", err)
			}
			n, more = n+ended, ended == maxReaped
		}
	}
	return n, nil
}

// reapOwner ends reservations of an owner, unless its lease was extended meanwhile.
func (l *Ledger) reapOwner(ctx context.Context, id int64, dead bool) (n int, err error) {
	err = pgx.BeginFunc(ctx, l.db, func(tx pgx.Tx) error {
		// No reservation is made while the row is locked so.
		rows, err := tx.Query(ctx, `SELECT o.id FROM budget_owners o WHERE o.id = $2 AND ($3 OR `+expired+`) FOR UPDATE`, l.lease, id, dead)
		if err != nil {
			return err
		}
		if found, err := pgx.CollectRows(rows, pgx.RowTo[int64]); err != nil || len(found) == 0 {
			return err
		}
		rows, err = tx.Query(ctx, `SELECT `+reservationColumns+` FROM budget_reservations WHERE owner = $1 ORDER BY id LIMIT $2 FOR UPDATE`, id, maxReaped)
		if err != nil {
			return err
		}
		found, err := pgx.CollectRows(rows, readReservation)
		if err != nil {
			return err
		}
		n = len(found)
		ends := ends{}
		for _, r := range found {
			charge := r.amount
			if r.attempt == 0 {
				charge.Money, charge.Tokens, charge.Calls = 0, 0, 0
			}
			ends.add(r, charge, charge)
		}
		send := &pgx.Batch{}
		ends.queue(send)
		if n < maxReaped {
			send.Queue(`UPDATE budget_owners SET ended = true WHERE id = $1`, id)
			send.Queue(`DELETE FROM budget_owners o WHERE id = $1 AND NOT EXISTS (SELECT FROM budget_attempts WHERE owner = o.id)`, id)
		}
		return tx.SendBatch(ctx, send).Close()
	})
	return n, err
}
