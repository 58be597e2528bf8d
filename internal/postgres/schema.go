package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/claude-force/claude-force/fault"
)

// VersionTable holds the steps that were applied, as goose writes it.
const VersionTable = "schema_versions"

// Generation is the newest generation of the schema that this program can use. Schemas
// with steps that it does not know are fine as long as their generation is not newer. It
// is raised with the release whose code no longer uses what a later step takes away; see
// [Migration].
const Generation = 1

// SchemaError says that the schema of a database is not one that the program can use.
type SchemaError struct {
	DB      string // host, database and schema
	Missing int    // steps that the program needs and the database has not had
	Newer   bool   // the database is for newer programs only
}

// FaultKind returns [fault.KindOutdated] for a database that only newer programs can use,
// else [fault.KindInput].
func (e *SchemaError) FaultKind() fault.Kind {
	if e.Newer {
		return fault.KindOutdated
	}
	return fault.KindInput
}

func (e *SchemaError) Error() string {
	if e.Newer {
		return fmt.Sprintf("the store at %s was changed by a newer claude-force, in a way that this one cannot use: update claude-force", e.DB)
	}
	steps := "1 migration"
	if e.Missing != 1 {
		steps = fmt.Sprintf("%d migrations", e.Missing)
	}
	return fmt.Sprintf("the store at %s lacks %s", e.DB, steps)
}

// State is how the schema of a database compares with what the program knows.
type State struct {
	Applied    []int64 // steps that the database has had, in order
	Missing    []int64 // of those that the program knows, in order
	Unknown    []int64 // applied ones that the program does not know, in order
	Generation int     // 0 if there is no schema
}

// Known returns the steps that the program knows, in order.
func Known() []int64 {
	var known []int64
	for _, m := range Migrations() {
		known = append(known, m.Version)
	}
	return known
}

// State reads the state of the schema, also of one that the program cannot use.
func (db *DB) State(ctx context.Context) (*State, error) {
	ctx = WithoutCheck(ctx)
	s := &State{}
	rows, err := db.Query(ctx, `SELECT version_id FROM `+VersionTable+` WHERE version_id > 0 AND is_applied ORDER BY version_id`)
	if err == nil {
		s.Applied, err = pgx.CollectRows(rows, pgx.RowTo[int64])
	}
	if err == nil || noTable(err) {
		if wrong := db.checkPath(ctx); wrong != nil {
			err = wrong
		}
	}
	if err == nil {
		err = db.QueryRow(ctx, `SELECT generation FROM schema_generation`).Scan(&s.Generation)
	}
	if _, wrong := errors.AsType[*ServerError](err); !wrong && (noTable(err) || errors.Is(err, pgx.ErrNoRows)) {
		err = nil // it was never made, or is being made
	}
	if err != nil {
		return nil, fmt.Errorf("reading the schema of the store at %s: %w", db, Explain(err))
	}
	known := Known()
	for _, v := range known {
		if !slices.Contains(s.Applied, v) {
			s.Missing = append(s.Missing, v)
		}
	}
	for _, v := range s.Applied {
		if !slices.Contains(known, v) {
			s.Unknown = append(s.Unknown, v)
		}
	}
	return s, nil
}

// Check returns a [*SchemaError] unless the program can use the schema.
func (db *DB) Check(ctx context.Context) error {
	s, err := db.State(ctx)
	if err != nil {
		return err
	}
	if s.Generation > Generation || len(s.Missing) > 0 {
		return &SchemaError{DB: db.String(), Missing: len(s.Missing), Newer: s.Generation > Generation}
	}
	return nil
}

// checkPath returns a [*ServerError] unless sessions look for tables where the address says.
func (db *DB) checkPath(ctx context.Context) error {
	var path string
	if err := db.QueryRow(ctx, `SELECT current_setting('search_path')`).Scan(&path); err != nil {
		return err
	}
	return wrongPath(path, db.Config().ConnConfig.User, db.schema)
}

// wrongPath returns a [*ServerError] unless the first schema of a session's search path is the one
// that the address names. A pool before the server, such as PgBouncer, may leave the path out, and
// what is stored would be in the schema of others.
func wrongPath(path, user, schema string) error {
	if first, err := firstSchema(path, user); err == nil && first == schema && path != "" {
		return nil
	}
	return &ServerError{fmt.Sprintf("the search path of sessions is %q, and not the schema %s: a pool before the server, such as PgBouncer, leaves out what the address says; set it with ALTER ROLE %s SET search_path = %s",
		path, schema, pgx.Identifier{user}.Sanitize(), pgx.Identifier{schema}.Sanitize())}
}

func noTable(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pg.Code == "42P01" || pg.Code == "3F000") // undefined_table, invalid_schema_name
}
