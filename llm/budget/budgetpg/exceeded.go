package budgetpg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/llm/budget"
)

// NoteExceeded writes down that a scope has no room left for a call, unless that is known
// of it already.
func (l *Ledger) NoteExceeded(e *budget.ExceededError) error {
	return l.noted.Once(e, func(account string) error {
		return l.write(func(t *transaction) error {
			send := &pgx.Batch{}
			send.Queue(`BEGIN`)
			send.Queue(`WITH last AS (UPDATE budget_last_exceeded SET n = n + 1 WHERE NOT EXISTS (SELECT FROM budget_exceeded WHERE account = $1) RETURNING n)
				INSERT INTO budget_exceeded (n, account, level, name, kind, most, spent) SELECT n, $1, $2, $3, $4, $5, $6 FROM last ON CONFLICT (account) DO NOTHING`,
				[]byte(account), []byte(e.Scope.Level), []byte(e.Scope.Name), string(e.Kind), e.Limit, e.Spent)
			return l.commit(t, send)
		})
	})
}

// After returns at most limit scopes that were written down after a number, in order.
func (l *Ledger) After(ctx context.Context, after int64, limit int) (list []budget.Exceeded, err error) {
	err = l.look(ctx, func() error {
		rows, err := l.db.Query(ctx, `SELECT n, level, name, kind, most, spent, at FROM budget_exceeded WHERE n > $1 ORDER BY n LIMIT $2`, after, limit)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (x budget.Exceeded, err error) {
			var level, name []byte
			var kind string
			var at time.Time
			err = row.Scan(&x.N, &level, &name, &kind, &x.Limit, &x.Spent, &at)
			x.Level, x.Name, x.Kind, x.At = budget.Level(level), string(name), budget.Kind(kind), at.UTC().Truncate(time.Second)
			return x, err
		})
		return err
	})
	return list, err
}

// Last returns the number of the latest scope that was ever written down, 0 if there was
// none.
func (l *Ledger) Last(ctx context.Context) (last int64, err error) {
	err = l.look(ctx, func() error { return l.db.QueryRow(ctx, `SELECT n FROM budget_last_exceeded`).Scan(&last) })
	return last, err
}

// look calls do, which reads for a caller that will do so again.
func (l *Ledger) look(ctx context.Context, do func() error) error {
	if err := do(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("reading the budgets at %s: %w", l.db, postgres.Explain(err))
	}
	return nil
}
