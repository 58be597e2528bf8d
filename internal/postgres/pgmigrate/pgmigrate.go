// Package pgmigrate brings the schema of a PostgreSQL store up to date. It is apart from
// internal/postgres since it links goose, which a program that only uses a store does
// not need.
package pgmigrate

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/claude-force/claude-force/internal/postgres"
)

// Another process that migrates is waited for as long as this, in seconds.
const lockWait = 300

// A step waits for the locks of others for lockTimeout, in milliseconds, then tries again
// after a pause, so many times.
const (
	lockTimeout = "2000"
	lockPause   = time.Second
	lockTries   = 40
)

// Step is a migration.
type Step struct {
	Version  int64         `json:"version"`
	Name     string        `json:"name"`
	Duration time.Duration `json:"-"`
}

// Up applies the migrations that the database has not had, each in a transaction unless it
// says otherwise, and returns them. It makes the schema if there is none. Of several
// processes one migrates and the others wait.
//
// Programs that run meanwhile keep working. Before a step that they cannot live with, the
// generation of the schema is raised, and what they have started is given time to end.
func Up(ctx context.Context, db *postgres.DB) ([]Step, error) {
	return up(ctx, db, postgres.Steps(), func(ctx context.Context) error {
		select {
		case <-time.After(grace):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
}

// grace is how long a program that knows a lower generation than the schema has may still
// use it: it does not look more often than [postgres.Checked], and a transaction of it that
// is silent ends after 15 seconds.
const grace = postgres.Checked + 16*time.Second

// up applies steps. It calls wait between raising the generation and what needs it.
func up(ctx context.Context, db *postgres.DB, files fs.FS, wait func(context.Context) error) (applied []Step, err error) {
	if err := usable(ctx, db); err != nil {
		return nil, err
	}
	if err := createSchema(ctx, db); err != nil {
		return nil, failed(db, err)
	}
	steps, err := postgres.ReadMigrations(files)
	if err != nil {
		return nil, err
	}
	state, err := db.State(ctx)
	if err != nil {
		return nil, err
	}
	p, err := provider(db, files)
	if err != nil {
		return nil, failed(db, err)
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	for _, s := range steps {
		if s.Generation == 0 || slices.Contains(state.Applied, s.Version) {
			continue
		}
		some, err := upTo(ctx, p, s.Version-1)
		applied = append(applied, some...)
		if err == nil {
			err = raise(ctx, db, s.Generation)
		}
		if err != nil {
			return applied, failed(db, err)
		}
		if len(state.Applied) > 0 { // others may use it
			if err := wait(ctx); err != nil {
				return applied, err
			}
		}
	}
	some, err := upTo(ctx, p, math.MaxInt64)
	applied = append(applied, some...)
	if err != nil {
		return applied, failed(db, err)
	}
	return applied, nil
}

// raise raises the generation of the schema.
func raise(ctx context.Context, db *postgres.DB, generation int) error {
	_, err := db.Exec(postgres.WithoutCheck(ctx), `UPDATE schema_generation SET generation = $1 WHERE generation < $1`, generation)
	return err
}

// upTo applies the steps up to a version. A step that waits for others' locks for long
// makes all that come after it wait too, so it gives up soon and tries again, as it does if
// PostgreSQL ends it for a deadlock.
func upTo(ctx context.Context, p *goose.Provider, version int64) (applied []Step, err error) {
	for try := 1; ; try++ {
		results, err := p.UpTo(ctx, version)
		if partial, ok := errors.AsType[*goose.PartialError](err); ok {
			results = partial.Applied
		}
		for _, r := range results {
			applied = append(applied, Step{r.Source.Version, r.Source.Path, r.Duration})
		}
		locked, _ := errors.AsType[*pgconn.PgError](err)
		if (locked == nil || locked.Code != "55P03") && !postgres.Conflict(err) { // lock_not_available; a deadlock with what runs
			return applied, err
		}
		if try == lockTries {
			return applied, fmt.Errorf("%w; transactions of others hold its tables, see pg_stat_activity: end them, or migrate when less is done", err)
		}
		select {
		case <-time.After(lockPause):
		case <-ctx.Done():
			return applied, context.Cause(ctx)
		}
	}
}

// Pending returns the migrations that Up would apply, and changes nothing.
func Pending(ctx context.Context, db *postgres.DB) ([]Step, error) {
	if err := usable(ctx, db); err != nil {
		return nil, err
	}
	state, err := db.State(ctx)
	if err != nil {
		return nil, err
	}
	var steps []Step
	for _, m := range postgres.Migrations() {
		if slices.Contains(state.Missing, m.Version) {
			steps = append(steps, Step{Version: m.Version, Name: m.File})
		}
	}
	return steps, nil
}

// usable returns an error for a schema that is only for newer programs.
func usable(ctx context.Context, db *postgres.DB) error {
	schema, ok := errors.AsType[*postgres.SchemaError](db.Check(ctx))
	if ok && schema.Newer {
		return schema
	}
	return nil
}

func failed(db *postgres.DB, err error) error {
	return fmt.Errorf("migrating the store at %s: %w", db, postgres.Explain(err))
}

// createSchema creates the schema if there is none. A role that may not create one can
// use one that was made for it.
func createSchema(ctx context.Context, db *postgres.DB) error {
	var there bool
	if err := db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)`, db.Schema()).Scan(&there); err != nil || there {
		return err
	}
	return pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		// Two that create it at once fail without this.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, lockID(db)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `CREATE SCHEMA IF NOT EXISTS `+pgx.Identifier{db.Schema()}.Sanitize())
		return err
	})
}

func provider(db *postgres.DB, steps fs.FS) (*goose.Provider, error) {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(lockID(db)), lock.WithLockTimeout(1, lockWait), lock.WithUnlockTimeout(1, 30))
	if err != nil {
		return nil, err
	}
	conn := db.Config().ConnConfig.Copy()
	conn.RuntimeParams["lock_timeout"] = lockTimeout
	return goose.NewProvider(goose.DialectPostgres, stdlib.OpenDB(*conn), steps,
		goose.WithTableName(postgres.VersionTable), goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true),
		// Two people's steps may be released in another order than they were written.
		goose.WithAllowOutofOrder(true))
}

// lockID returns the number of the lock for the schema: a database may have several.
func lockID(db *postgres.DB) int64 {
	return int64(crc32.ChecksumIEEE([]byte("claude-force " + db.Schema())))
}
