package budgetdb

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/internal/process"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/budget"
)

// register adds this process to the owners and removes what is no longer used.
func (l *Ledger) register() error {
	if err := l.reap(); err != nil {
		return err
	}
	for _, sql := range []string{`DELETE FROM attempts WHERE made < ?`, `DELETE FROM exceeded WHERE at < ?`} {
		if err := l.conn.Run(sql, time.Now().Add(-remembered).Unix()); err != nil {
			return err
		}
	}
	if err := l.removeOwners(); err != nil {
		return err
	}
	if err := l.conn.Run(`DELETE FROM accounts WHERE changed < ? AND reserved_calls = 0 AND reserved_money = 0 AND reserved_tokens = 0`,
		time.Now().Add(-remembered).Unix()); err != nil {
		return err
	}
	err := l.conn.Run(`INSERT INTO owners (host, boot, pid, born) VALUES (?, ?, ?, ?)`, l.self.Host, l.self.Boot, l.self.PID, l.self.Born)
	l.owner = l.conn.LastInsertRowID()
	return err
}

// removeOwners removes the crashed processes without reservations and attempts.
func (l *Ledger) removeOwners() error {
	var gone []int64
	err := l.conn.Query(`SELECT id, host, boot, pid, born FROM owners WHERE id NOT IN (SELECT owner FROM holds UNION SELECT owner FROM attempts)`, func(row *sqlite3.Stmt) error {
		if owner(row).Dead(l.self) {
			gone = append(gone, row.ColumnInt64(0))
		}
		return nil
	})
	for _, id := range gone {
		err = errors.Join(err, l.conn.Run(`DELETE FROM owners WHERE id = ?`, id))
	}
	return err
}

// owner reads the process of a row of owners.
func owner(row *sqlite3.Stmt) process.ID {
	return process.ID{Host: row.ColumnText(1), Boot: row.ColumnText(2), PID: row.ColumnInt(3), Born: row.ColumnInt64(4)}
}

// reap charges the reservations of crashed processes, but for what they have not
// sent, and those on other machines that are too old.
func (l *Ledger) reap() error {
	dead := map[int64]bool{}
	elsewhere := map[int64]bool{}
	err := l.conn.Query(`SELECT id, host, boot, pid, born FROM owners WHERE id IN (SELECT owner FROM holds)`, func(row *sqlite3.Stmt) error {
		p := owner(row)
		dead[row.ColumnInt64(0)] = p.Dead(l.self)
		elsewhere[row.ColumnInt64(0)] = p.Host != l.self.Host || p.Boot != l.self.Boot || p.Boot == ""
		return nil
	})
	if err != nil {
		return err
	}
	for id := range dead {
		before := time.Now().Add(-abandoned).Unix()
		switch {
		case dead[id]:
			before = time.Now().Add(abandoned).Unix() // all
		case !elsewhere[id] || id == l.owner:
			continue
		}
		if dead[id] {
			unsent, err := l.reservations(`SELECT id, accounts, money, tokens, calls FROM holds WHERE owner = ? AND attempt = 0`, id)
			if err != nil {
				return err
			}
			for _, r := range unsent {
				if err := l.end(r, budget.Amount{}, budget.Amount{}); err != nil {
					return err
				}
			}
		}
		found, err := l.reservations(`SELECT id, accounts, money, tokens, calls FROM holds WHERE owner = ? AND made < ?`, id, before)
		if err != nil {
			return err
		}
		for _, r := range found {
			if err := l.end(r, r.amount, r.amount); err != nil {
				return err
			}
		}
	}
	return nil
}

// reservation is a row of holds.
type reservation struct {
	id     int64
	keys   []string
	amount budget.Amount
}

// reservations returns the rows of a query on holds.
func (l *Ledger) reservations(query string, args ...any) (found []reservation, err error) {
	err = l.conn.Query(query, func(row *sqlite3.Stmt) error {
		r := reservation{id: row.ColumnInt64(0), amount: budget.Amount{Money: llm.Money(row.ColumnInt64(2)), Tokens: row.ColumnInt64(3), Calls: row.ColumnInt64(4)}}
		found = append(found, r)
		return json.Unmarshal([]byte(row.ColumnText(1)), &found[len(found)-1].keys)
	}, args...)
	return found, err
}

// end replaces a reservation with what was spent, of which uncertain is a part.
func (l *Ledger) end(r reservation, spent, uncertain budget.Amount) error {
	for _, key := range r.keys {
		if err := l.conn.Run(`UPDATE accounts SET
			reserved_money = reserved_money - ?2, reserved_tokens = reserved_tokens - ?3, reserved_calls = reserved_calls - ?4,
			spent_money = spent_money + ?5, spent_tokens = spent_tokens + ?6, spent_calls = spent_calls + ?7,
			uncertain_money = uncertain_money + ?8, uncertain_tokens = uncertain_tokens + ?9, uncertain_calls = uncertain_calls + ?10,
			changed = ?11 WHERE key = ?1`,
			key, int64(r.amount.Money), r.amount.Tokens, r.amount.Calls, int64(spent.Money), spent.Tokens, spent.Calls,
			int64(uncertain.Money), uncertain.Tokens, uncertain.Calls, time.Now().Unix()); err != nil {
			return err
		}
	}
	return l.conn.Run(`DELETE FROM holds WHERE id = ?`, r.id)
}
