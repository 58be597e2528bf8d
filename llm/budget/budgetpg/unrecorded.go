package budgetpg

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/llm/budget"
)

// Unrecorded calls record with the attempts of crashed processes that are not known to
// be recorded, after their reservations were charged, and forgets them if it returns
// nil. A record must know an attempt by its id: one can be given again after a crash, and
// to several processes. Unrecorded does nothing if there are none.
func (l *Ledger) Unrecorded(ctx context.Context, record func([]budget.Attempt) error) error {
	found, err := l.unrecorded(ctx)
	if err != nil {
		return fmt.Errorf("reading the budgets at %s: %w", l.db, postgres.Explain(err))
	}
	if len(found) == 0 {
		return nil
	}
	if err := record(found); err != nil {
		return err
	}
	ids := make([]int64, len(found))
	for i, a := range found {
		ids[i] = a.ID
	}
	send := &pgx.Batch{}
	forget(send, ids)
	if err := postgres.Retry(ctx, func() error { return l.db.SendBatch(ctx, send).Close() }); err != nil {
		return fmt.Errorf("writing the budgets at %s: %w", l.db, postgres.Explain(err))
	}
	return nil
}

// unrecorded charges what crashed processes have left, and returns their attempts.
func (l *Ledger) unrecorded(ctx context.Context) ([]budget.Attempt, error) {
	if _, err := l.reap(ctx); err != nil {
		return nil, err
	}
	rows, err := l.db.Query(ctx, `SELECT a.id, a.note FROM budget_attempts a WHERE NOT EXISTS (SELECT FROM budget_owners o WHERE o.id = a.owner AND NOT ended) ORDER BY a.id`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (a budget.Attempt, err error) {
		var note []byte
		err = row.Scan(&a.ID, &note)
		a.Note = string(note)
		return a, err
	})
}
