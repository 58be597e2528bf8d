package postgres_test

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/postgres/pgmigrate"
	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
)

func connect(t *testing.T, address string) *postgres.DB {
	t.Helper()
	db, err := postgres.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

// TestAddresses checks that a password is in no error and no message, whatever is wrong.
func TestAddresses(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"":                                   "is not a URL",
		"history.db":                         "is not a URL",
		"mysql://u:hunter2@h/d":              "is not a URL",
		"postgres://u:hunter2@h:port/d":      "is not a URL",
		"postgres://u:hunter2/x@h/d":         "is not a URL",
		"postgres://u:hun%ter2@h/d":          "is not a URL",
		"postgres://u:hunter2@h/d?sslmode=x": "sslmode",
		"postgres://u@h/d?pool_max_conns=hunter2&password=hunter2": "pool_max_conns must be a number",
		"postgres://u:hunter2@h/d?pool_max_conns=0":                "pool_max_conns must be a number",
		"postgres://u:hunter2@h/d?pool_min_idle_conns=many":        "pool_min_idle_conns must be a number",
		"postgres://u:hunter2@h/d?pool_max_conn_lifetime=1":        "pool_max_conn_lifetime must be a time",
	} {
		_, err := postgres.Connect(address)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v; want %q", address, err, want)
		}
	}
	for _, address := range []string{"postgres://u:hunter2@127.0.0.1:1/d", "postgres://u@127.0.0.1:1/d?password=hunter2"} {
		_, err := postgres.Open(t.Context(), address)
		if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "check that the server runs") {
			t.Errorf("no server: %v", err)
		}
	}
}

func TestSchemaIsChecked(t *testing.T) {
	t.Parallel()
	ctx, address := t.Context(), postgrestest.EmptyURL(t)
	_, err := postgres.Open(ctx, address)
	schema, ok := errors.AsType[*postgres.SchemaError](err)
	if !ok || schema.Missing != len(postgres.Known()) || schema.Newer || strings.Contains(err.Error(), "@") {
		t.Fatalf("without a schema: %v", err)
	}
	db := connect(t, address)
	pending, err := pgmigrate.Pending(ctx, db)
	if err != nil || len(pending) != len(postgres.Known()) || pending[0].Name == "" {
		t.Fatalf("pending: %v, %v", pending, err)
	}
	if _, ok := errors.AsType[*postgres.SchemaError](db.Check(ctx)); !ok {
		t.Fatal("looking at what is pending made the schema")
	}
	// Many processes that migrate at once.
	var all sync.WaitGroup
	var mu sync.Mutex // guards steps
	steps := 0
	for range 4 {
		all.Go(func() {
			applied, err := pgmigrate.Up(ctx, db)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			steps += len(applied)
		})
	}
	all.Wait()
	if steps != len(postgres.Known()) {
		t.Errorf("%d steps were applied; want each of %d once", steps, len(postgres.Known()))
	}
	opened, err := postgres.Open(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	opened.Close()
	if pending, err := pgmigrate.Pending(ctx, db); err != nil || len(pending) > 0 {
		t.Errorf("pending after all: %v, %v", pending, err)
	}

	exec := func(sql string) {
		t.Helper()
		if _, err := db.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	// What a later program added is fine.
	exec(`INSERT INTO schema_versions (version_id, is_applied) VALUES (99991231235959, true)`)
	state, err := db.State(ctx)
	if err != nil || len(state.Unknown) != 1 || len(state.Missing) > 0 || db.Check(ctx) != nil {
		t.Errorf("with a step of a later program: %+v, %v", state, err)
	}
	// A step of another person, written before the last and released after it.
	exec(`DELETE FROM schema_versions WHERE version_id = ` + "(SELECT min(version_id) FROM schema_versions WHERE version_id > 0)")
	if err := db.Check(ctx); err == nil || !strings.Contains(err.Error(), "lacks 1 migration") {
		t.Errorf("with a step missing in the middle: %v", err)
	}
	// What it changed so that this one cannot use it is not.
	exec(`UPDATE schema_generation SET generation = 1000`)
	for name, err := range map[string]error{"check": db.Check(ctx), "migrate": func() error { _, err := pgmigrate.Up(ctx, db); return err }()} {
		if schema, ok := errors.AsType[*postgres.SchemaError](err); !ok || !schema.Newer || !strings.Contains(err.Error(), "update claude-force") {
			t.Errorf("%s of a schema of a later generation: %v", name, err)
		}
	}
}

// TestPoolIsShared: users of one URL share its connections, until the last has gone.
func TestPoolIsShared(t *testing.T) {
	t.Parallel()
	address := postgrestest.URL(t)
	a, b := connect(t, address), connect(t, address)
	if a.Pool != b.Pool {
		t.Error("two pools for one URL")
	}
	a.Close()
	a.Close()
	if err := b.Ping(t.Context()); err != nil {
		t.Errorf("after another user has closed its own: %v", err)
	}
	b.Close()
	if err := b.Ping(t.Context()); err == nil {
		t.Error("the pool is open without users")
	}
}

func TestTransient(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t)
	db := connect(t, server.URL(t))
	ctx := t.Context()
	if _, err := db.Exec(ctx, `SELECT 1/0`); postgres.Transient(err) {
		t.Errorf("an error of a statement: %v", err)
	}
	var n int
	if err := db.QueryRow(ctx, `SELECT 'x'`).Scan(&n); err == nil || postgres.Transient(err) {
		t.Errorf("a value of another type: %v", err)
	}
	conn, err := db.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	server.Kill(t)
	_, err = conn.Exec(ctx, `SELECT 1`)
	conn.Release()
	if !postgres.Transient(err) {
		t.Errorf("a lost connection: %v", err)
	}
	if err := db.Ping(ctx); !postgres.Transient(err) {
		t.Errorf("no server: %v", err)
	}
	server.Restart(t)
	if err := db.Ping(ctx); err != nil {
		t.Errorf("after the restart: %v", err)
	}
	for code, want := range map[string]bool{"57P03": true, "40P01": true, "53300": true, "08006": true, "23505": false, "28P01": false, "42501": false, "25006": true} {
		if got := postgres.Transient(&pgconn.PgError{Code: code}); got != want {
			t.Errorf("%s: %v", code, got)
		}
	}
}

// TestUnfitDatabases: a database with another encoding is refused whatever it is opened
// for, in one line that says what to do, and is not waited for.
func TestUnfitDatabases(t *testing.T) {
	t.Parallel()
	address := postgrestest.EmptyURL(t)
	server := connect(t, address)
	for _, encoding := range []string{"LATIN1", "SQL_ASCII"} {
		name := fmt.Sprintf("unfit_%s_%d", strings.ToLower(encoding), os.Getpid())
		if _, err := server.Exec(t.Context(), `CREATE DATABASE `+name+` ENCODING '`+encoding+`' LOCALE 'C' TEMPLATE template0`); err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		u.Path = "/" + name
		db := connect(t, u.String())
		_, migrating := pgmigrate.Pending(t.Context(), db)
		for use, err := range map[string]error{"checking": db.Check(t.Context()), "migrating": migrating} {
			_, unfit := errors.AsType[*postgres.ServerError](err)
			if !unfit || postgres.Transient(err) || fault.KindOf(err) != fault.KindInput || !strings.Contains(err.Error(), "encoding "+encoding) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v", use, err)
			}
		}
		db.Close()
		if _, err := server.Exec(t.Context(), `DROP DATABASE `+name+` WITH (FORCE)`); err != nil {
			t.Error(err)
		}
	}
}

// TestErrorsAreOneLine: an error of a connection, which tries TLS first, then without,
// says in one line what failed last and what to do.
func TestErrorsAreOneLine(t *testing.T) {
	t.Parallel()
	address := postgrestest.EmptyURL(t)
	for change, want := range map[string]string{
		"user=nobody_of_this_name":  "SQLSTATE 28",
		"database=no_such":          "create the database",
		"sslmode=require":           "sslmode=disable",
		"foo=bar":                   "leave out",
		"host=no-such-host.invalid": "check that the server runs",
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		query := u.Query()
		name, value, _ := strings.Cut(change, "=")
		query.Set(name, value)
		u.RawQuery = query.Encode()
		db := connect(t, u.String())
		err = db.Check(t.Context())
		password, _ := u.User.Password()
		if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), want) || password != "" && strings.Contains(err.Error(), password) ||
			name != "sslmode" && strings.Contains(err.Error(), "TLS") {
			t.Errorf("%s: %v", change, err)
		}
	}
}

// TestSearchPathLeftOut: sessions whose search path a pool before the server has left out are
// refused, whether there are tables of others, the store's, or none.
func TestSearchPathLeftOut(t *testing.T) {
	t.Parallel()
	other := postgrestest.Open(t, postgrestest.URL(t)).Schema()
	address := postgrestest.URL(t)
	own := postgrestest.Open(t, address).Schema()
	for path, right := range map[string]bool{
		"": false, "public": false, `"$user", public`: false, other: false, other + ", " + own: false, `"` + own + `"`: true, own + ", public": true,
	} {
		_, err := postgres.StateWith(t.Context(), address, path)
		unfit, ok := errors.AsType[*postgres.ServerError](err)
		if ok == right || err != nil && right || ok && (!strings.Contains(unfit.What, "ALTER ROLE") || strings.Contains(err.Error(), "\n")) {
			t.Errorf("with the search path %s: %v", path, err)
		}
	}
}
