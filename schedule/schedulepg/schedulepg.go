// Package schedulepg keeps schedules in a PostgreSQL database, for the servers of several
// machines.
package schedulepg

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/unixtime"
	"github.com/claude-force/claude-force/schedule"
)

// Store is a [schedule.Store] in a database. Make one with [New].
type Store struct{ db postgres.Store }

var _ schedule.Store = (*Store)(nil)

// New returns the store in a database, which is given back by Close.
func New(db *postgres.DB) *Store {
	return &Store{postgres.Store{DB: db, Holds: "schedules", Own: []error{schedule.ErrNotFound, schedule.ErrExists}}}
}

// Close gives the database back.
func (s *Store) Close() error { return s.db.Close() }

// change runs a statement and returns how many rows it changed.
func (s *Store) change(ctx context.Context, sql string, args ...any) (n int64, err error) {
	err = s.db.Write(ctx, func(ctx context.Context) error {
		tag, err := s.db.Exec(ctx, sql, args...)
		n = tag.RowsAffected()
		return err
	})
	return n, err
}

// changeOne runs a statement that changes a schedule with a name, or returns ErrNotFound.
func (s *Store) changeOne(ctx context.Context, name, sql string, args ...any) error {
	if !postgres.Storable(name) {
		return schedule.ErrNotFound
	}
	n, err := s.change(ctx, sql, args...)
	if err == nil && n == 0 {
		err = schedule.ErrNotFound
	}
	return err
}

// Add implements [schedule.Store].
func (s *Store) Add(ctx context.Context, x *schedule.Schedule) error {
	spec, err := x.EncodeSpec()
	if err != nil {
		return err
	}
	n, err := s.change(ctx, `INSERT INTO schedules (id, dir, name, spec, paused, decided, last_run, tick, pending, problem)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (dir, name) DO NOTHING`,
		x.ID, []byte(x.Dir), x.Name, spec, x.Paused, unixtime.Seconds(x.Decided), x.LastRun, unixtime.Seconds(x.Tick), x.Pending, []byte(x.Problem))
	if err == nil && n == 0 {
		err = schedule.ErrExists
	}
	return err
}

// Remove implements [schedule.Store].
func (s *Store) Remove(ctx context.Context, dir, name string) error {
	return s.changeOne(ctx, name, `DELETE FROM schedules WHERE dir = $1 AND name = $2`, []byte(dir), name)
}

// SetPaused implements [schedule.Store].
func (s *Store) SetPaused(ctx context.Context, dir, name string, paused bool, now time.Time) error {
	return s.changeOne(ctx, name, `UPDATE schedules SET decided = CASE WHEN paused AND NOT $1 THEN greatest(decided, $2) ELSE decided END, paused = $1 WHERE dir = $3 AND name = $4`,
		paused, unixtime.Seconds(now), []byte(dir), name)
}

// List implements [schedule.Store].
func (s *Store) List(ctx context.Context, dir string) ([]schedule.Schedule, error) {
	return postgres.Collect(ctx, &s.db, func(row pgx.CollectableRow) (schedule.Schedule, error) { return read(row, dir) },
		`SELECT id, name, spec, paused, decided, last_run, tick, pending, problem FROM schedules WHERE dir = $1 ORDER BY name`, []byte(dir))
}

// read reads a schedule of a project.
func read(row pgx.CollectableRow, dir string) (x schedule.Schedule, err error) {
	var decided, tick int64
	var spec, problem []byte
	if err := row.Scan(&x.ID, &x.Name, &spec, &x.Paused, &decided, &x.LastRun, &tick, &x.Pending, &problem); err != nil {
		return x, err
	}
	x.Dir, x.Decided, x.Tick, x.Problem = dir, unixtime.FromSeconds(decided), unixtime.FromSeconds(tick), string(problem)
	return x, x.DecodeSpec(spec)
}

// Decide implements [schedule.Store].
func (s *Store) Decide(ctx context.Context, x *schedule.Schedule, o schedule.Outcome) (bool, error) {
	n, err := s.change(ctx, `UPDATE schedules SET decided = $1, last_run = CASE WHEN $4 = '' THEN last_run ELSE $4 END, tick = CASE WHEN $4 = '' THEN tick ELSE $5 END,
		pending = pending OR $4 <> '', problem = CASE WHEN $4 = '' THEN problem ELSE '' END WHERE id = $2 AND decided = $3`,
		unixtime.Seconds(o.Decided), x.ID, unixtime.Seconds(x.Decided), o.Run, unixtime.Seconds(o.Tick))
	return n > 0 && err == nil, err
}

// Started implements [schedule.Store].
func (s *Store) Started(ctx context.Context, x *schedule.Schedule, problem string) error {
	_, err := s.change(ctx, `UPDATE schedules SET pending = false, problem = $1 WHERE id = $2 AND last_run = $3`, []byte(problem), x.ID, x.LastRun)
	return err
}
