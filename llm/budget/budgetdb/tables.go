package budgetdb

import (
	"context"

	"github.com/claude-force/claude-force/internal/sqlitefile"
	"github.com/claude-force/claude-force/internal/tablecopy"
)

// Tables returns what the ledger holds, in the order in which it is to be copied, but for
// reservations and attempts: no call may be in flight.
func (l *Ledger) Tables() []tablecopy.Table {
	return []tablecopy.Table{
		sqlitefile.NewTable(sqlitefile.Table{
			Label: "budget accounts", From: "accounts", Key: 1, Use: l.use,
			Columns: "key text, spent_money int, spent_tokens int, spent_calls int, uncertain_money int, uncertain_tokens int, uncertain_calls int, changed int",
			Writes: []string{`INSERT INTO accounts (key, spent_money, spent_tokens, spent_calls, uncertain_money, uncertain_tokens, uncertain_calls, changed, reserved_money, reserved_tokens, reserved_calls)
				VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, 0, 0)
				ON CONFLICT (key) DO UPDATE SET spent_money = excluded.spent_money, spent_tokens = excluded.spent_tokens, spent_calls = excluded.spent_calls,
					uncertain_money = excluded.uncertain_money, uncertain_tokens = excluded.uncertain_tokens, uncertain_calls = excluded.uncertain_calls, changed = excluded.changed`},
		}),
		sqlitefile.NewTable(sqlitefile.Table{
			Label: "budgets reached", From: "exceeded", Key: 1, Use: l.use,
			Columns: "n int, account text, level text, name text, kind text, most int, spent int, at int",
		}),
		sqlitefile.NewTable(sqlitefile.LastNumber("last budget reached", "exceeded", l.use)),
	}
}

// use calls do with the connection, in a transaction.
func (l *Ledger) use(ctx context.Context, _ bool, do func(*sqlitefile.Conn) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return l.write(func() error { return do(l.conn) })
}
