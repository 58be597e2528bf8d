package budgetpg

import (
	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/tablecopy"
)

// Tables returns what the ledger holds, in the order in which it is to be copied, but for
// reservations and attempts: no call may be in flight.
func (l *Ledger) Tables() []tablecopy.Table {
	return []tablecopy.Table{
		postgres.NewCopyTable(postgres.CopyTable{
			Label: "budget accounts", From: "budget_accounts", Key: 1, DB: l.db,
			Columns: "key blob, spent_money int, spent_tokens int, spent_calls int, uncertain_money int, uncertain_tokens int, uncertain_calls int, changed time",
		}),
		postgres.NewCopyTable(postgres.CopyTable{
			Label: "budgets reached", From: "budget_exceeded", Key: 1, DB: l.db,
			Columns: "n int, account blob, level blob, name blob, kind text, most int, spent int, at time",
		}),
		postgres.NewCopyTable(postgres.LastNumber("last budget reached", "budget_last_exceeded", l.db)),
	}
}
