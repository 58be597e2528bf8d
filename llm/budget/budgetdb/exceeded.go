package budgetdb

import (
	"context"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/internal/sqlitefile"
	"github.com/claude-force/claude-force/internal/unixtime"
	"github.com/claude-force/claude-force/llm/budget"
)

// NoteExceeded writes down that a scope has no room left for a call, unless that is known
// of it already.
func (l *Ledger) NoteExceeded(e *budget.ExceededError) error {
	return l.noted.Once(e, func(account string) error {
		return l.write(func() error {
			return l.conn.Run(`INSERT INTO exceeded (account, level, name, kind, most, spent, at) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
				account, string(e.Scope.Level), e.Scope.Name, string(e.Kind), e.Limit, e.Spent, time.Now().Unix())
		})
	})
}

// Excesses reads from a ledger which scopes had no room left, while other processes
// use it. Make one with [NewExcesses]. It is safe for concurrent use.
type Excesses struct{ file sqlitefile.Lazy }

// NewExcesses returns the excesses in the ledger in a file, which need not exist. Close
// it when done.
func NewExcesses(path string) *Excesses {
	return &Excesses{sqlitefile.Lazy{Path: path, Holds: "budgets", Schema: &schema, Advice: advice}}
}

// Close closes the file.
func (e *Excesses) Close() error { return e.file.Close() }

// After returns at most limit scopes that were written down after a number, in order.
func (e *Excesses) After(ctx context.Context, after int64, limit int) (list []budget.Exceeded, err error) {
	err = e.file.Read(ctx, func(c *sqlitefile.Conn) error {
		return c.Query(`SELECT n, level, name, kind, most, spent, at FROM exceeded WHERE n > ? ORDER BY n LIMIT ?`, func(row *sqlite3.Stmt) error {
			list = append(list, budget.Exceeded{
				N: row.ColumnInt64(0), Level: budget.Level(row.ColumnText(1)), Name: row.ColumnText(2), Kind: budget.Kind(row.ColumnText(3)),
				Limit: row.ColumnInt64(4), Spent: row.ColumnInt64(5), At: unixtime.FromSeconds(row.ColumnInt64(6)),
			})
			return nil
		}, after, limit)
	})
	return list, err
}

// Last returns the number of the latest scope that was ever written down, 0 if there was
// none.
func (e *Excesses) Last(ctx context.Context) (last int64, err error) {
	err = e.file.Read(ctx, func(c *sqlitefile.Conn) error {
		return c.Query(`SELECT seq FROM sqlite_sequence WHERE name = 'exceeded'`, func(row *sqlite3.Stmt) error {
			last = row.ColumnInt64(0)
			return nil
		})
	})
	return last, err
}
