package budgetdb

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/internal/process"
	"github.com/claude-force/claude-force/llm/budget"
)

// Unrecorded calls record with the attempts of crashed processes that are not known to
// be recorded, after their reservations were charged, and forgets them if it returns
// nil. A record must know an attempt by its id: one can be given again after a crash.
// Unrecorded does nothing if there are none, or no file.
func Unrecorded(path string, record func([]budget.Attempt) error) (err error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	l := New(path)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.connect(); err != nil {
		return fmt.Errorf("reading %s: %w", path, advice.Explain(path, err))
	}
	defer func() { err = errors.Join(err, l.conn.Close()) }()
	dead, err := l.crashed()
	if err != nil || len(dead) == 0 {
		return err
	}
	if err := l.conn.Write(l.reap); err != nil {
		return fmt.Errorf("writing %s: %w", path, advice.Explain(path, err))
	}
	var found []budget.Attempt
	for _, owner := range dead {
		if err := l.conn.Query(`SELECT id, note FROM attempts WHERE owner = ?`, func(row *sqlite3.Stmt) error {
			found = append(found, budget.Attempt{ID: row.ColumnInt64(0), Note: row.ColumnText(1)})
			return nil
		}, owner); err != nil {
			return err
		}
	}
	if len(found) == 0 {
		return nil
	}
	if err := record(found); err != nil {
		return err
	}
	return l.conn.Write(func() error {
		for _, a := range found {
			if err := l.conn.Run(`DELETE FROM attempts WHERE id = ?`, a.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

// crashed returns the crashed processes that left reservations or attempts.
func (l *Ledger) crashed() (ids []int64, err error) {
	self := process.This()
	err = l.conn.Query(`SELECT id, host, boot, pid, born FROM owners WHERE id IN (SELECT owner FROM holds UNION SELECT owner FROM attempts)`, func(row *sqlite3.Stmt) error {
		if owner(row).Dead(self) {
			ids = append(ids, row.ColumnInt64(0))
		}
		return nil
	})
	return ids, err
}
