// Package scheduledb keeps schedules in a SQLite file, schedules.db, which several
// processes may use at once.
package scheduledb

import (
	"context"
	"embed"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/internal/sqlitefile"
	"github.com/claude-force/claude-force/internal/unixtime"
	"github.com/claude-force/claude-force/schedule"
)

//go:embed migrations/*.sql
var migrations embed.FS

// schema is the schema of this version.
var schema = sqlitefile.Schema{Version: 1, Migrations: migrations}

// Store is a [schedule.Store] in a file. Make one with [New].
type Store struct{ file sqlitefile.Lazy }

// New returns the store in a file, which is made when the first schedule is. Close it
// when done.
func New(path string) *Store {
	return &Store{sqlitefile.Lazy{
		Path: path, Holds: "schedules", Schema: &schema, Own: []error{schedule.ErrNotFound, schedule.ErrExists},
		Advice: sqlitefile.Advice{
			Damaged:     "put a backup in its place, or move it away to start without schedules",
			Empty:       "put a backup in its place, or remove it to start without schedules",
			Full:        "free some space",
			NotWritable: "make it writable, or name another with CLAUDE_FORCE_HOME",
			Path:        "name another folder with CLAUDE_FORCE_HOME",
			Foreign:     "name another folder with CLAUDE_FORCE_HOME",
		},
	}}
}

// Close closes the file.
func (s *Store) Close() error { return s.file.Close() }

// Add implements [schedule.Store].
func (s *Store) Add(_ context.Context, x *schedule.Schedule) error {
	spec, err := x.EncodeSpec()
	if err != nil {
		return err
	}
	return s.file.Write(func(c *sqlitefile.Conn) error {
		n, err := c.Change(`INSERT INTO schedules (id, dir, name, spec, paused, decided, last_run, tick, pending, problem) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (dir, name) DO NOTHING`,
			x.ID, x.Dir, x.Name, spec, x.Paused, unixtime.Seconds(x.Decided), x.LastRun, unixtime.Seconds(x.Tick), x.Pending, x.Problem)
		if err == nil && n == 0 {
			err = schedule.ErrExists
		}
		return err
	})
}

// Remove implements [schedule.Store].
func (s *Store) Remove(_ context.Context, dir, name string) error {
	return s.change(`DELETE FROM schedules WHERE dir = ? AND name = ?`, dir, name)
}

// SetPaused implements [schedule.Store].
func (s *Store) SetPaused(_ context.Context, dir, name string, paused bool, now time.Time) error {
	return s.change(`UPDATE schedules SET decided = iif(paused AND NOT ?1, max(decided, ?2), decided), paused = ?1 WHERE dir = ?3 AND name = ?4`,
		paused, unixtime.Seconds(now), dir, name)
}

// change runs a statement that changes a schedule, or returns ErrNotFound.
func (s *Store) change(sql string, args ...any) error {
	return s.file.Write(func(c *sqlitefile.Conn) error {
		n, err := c.Change(sql, args...)
		if err == nil && n == 0 {
			err = schedule.ErrNotFound
		}
		return err
	})
}

// List implements [schedule.Store].
func (s *Store) List(ctx context.Context, dir string) ([]schedule.Schedule, error) {
	list := []schedule.Schedule{}
	err := s.file.Read(ctx, func(c *sqlitefile.Conn) error {
		return c.Query(`SELECT id, name, spec, paused, decided, last_run, tick, pending, problem FROM schedules WHERE dir = ? ORDER BY name`, func(row *sqlite3.Stmt) error {
			x := schedule.Schedule{
				ID: row.ColumnText(0), Name: row.ColumnText(1), Dir: dir, Paused: row.ColumnBool(3), Decided: unixtime.FromSeconds(row.ColumnInt64(4)),
				LastRun: row.ColumnText(5), Tick: unixtime.FromSeconds(row.ColumnInt64(6)), Pending: row.ColumnBool(7), Problem: row.ColumnText(8),
			}
			if err := x.DecodeSpec(row.ColumnBlob(2, nil)); err != nil {
				return err
			}
			list = append(list, x)
			return nil
		}, dir)
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// Decide implements [schedule.Store].
func (s *Store) Decide(_ context.Context, x *schedule.Schedule, o schedule.Outcome) (decided bool, err error) {
	err = s.file.Write(func(c *sqlitefile.Conn) error {
		n, err := c.Change(`UPDATE schedules SET decided = ?1 WHERE id = ?2 AND decided = ?3`, unixtime.Seconds(o.Decided), x.ID, unixtime.Seconds(x.Decided))
		decided = n > 0
		if err != nil || !decided || o.Run == "" {
			return err
		}
		return c.Run(`UPDATE schedules SET last_run = ?, tick = ?, pending = TRUE, problem = '' WHERE id = ?`, o.Run, unixtime.Seconds(o.Tick), x.ID)
	})
	return decided && err == nil, err
}

// Started implements [schedule.Store].
func (s *Store) Started(_ context.Context, x *schedule.Schedule, problem string) error {
	return s.file.Write(func(c *sqlitefile.Conn) error {
		return c.Run(`UPDATE schedules SET pending = FALSE, problem = ? WHERE id = ? AND last_run = ?`, problem, x.ID, x.LastRun)
	})
}
