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
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/claude-force/claude-force/internal/postgres"
)

// Another process that migrates is waited for as long as this, in seconds.
const lockWait = 300

// Step is a migration.
type Step struct {
	Version  int64         `json:"version"`
	Name     string        `json:"name"`
	Duration time.Duration `json:"-"`
}

// Up applies the migrations that the database has not had, each in a transaction, and
// returns them. It makes the schema if there is none. Of several processes one migrates
// and the others wait.
func Up(ctx context.Context, db *postgres.DB) (applied []Step, err error) {
	if err := usable(ctx, db); err != nil {
		return nil, err
	}
	if err := createSchema(ctx, db); err != nil {
		return nil, failed(db, err)
	}
	p, err := provider(db)
	if err != nil {
		return nil, failed(db, err)
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	results, err := p.Up(ctx)
	if partial, ok := errors.AsType[*goose.PartialError](err); ok {
		results = partial.Applied
	}
	for _, r := range results {
		applied = append(applied, Step{r.Source.Version, r.Source.Path, r.Duration})
	}
	if err != nil {
		return applied, failed(db, err)
	}
	return applied, nil
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
	p, err := provider(db)
	if err != nil {
		return nil, failed(db, err)
	}
	names := map[int64]string{}
	for _, s := range p.ListSources() {
		names[s.Version] = s.Path
	}
	var steps []Step
	for _, v := range state.Missing {
		steps = append(steps, Step{Version: v, Name: names[v]})
	}
	return steps, p.Close()
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

func provider(db *postgres.DB) (*goose.Provider, error) {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(lockID(db)), lock.WithLockTimeout(1, lockWait), lock.WithUnlockTimeout(1, 30))
	if err != nil {
		return nil, err
	}
	steps, err := fs.Sub(postgres.Migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, stdlib.OpenDBFromPool(db.Pool), steps,
		goose.WithTableName(postgres.VersionTable), goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true),
		// Two people's steps may be released in another order than they were written.
		goose.WithAllowOutofOrder(true))
}

// lockID returns the number of the lock for the schema: a database may have several.
func lockID(db *postgres.DB) int64 {
	return int64(crc32.ChecksumIEEE([]byte("claude-force " + db.Schema())))
}
