package pgmigrate_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/postgres/pgmigrate"
	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
)

// withStep returns the steps of this version and one more.
func withStep(t *testing.T, name, text string) fs.FS {
	t.Helper()
	steps := fstest.MapFS{name: {Data: []byte(text)}}
	err := fs.WalkDir(postgres.Steps(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(postgres.Steps(), path)
		steps[path] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

const dropNotes = "99990101000000_drop_notes.sql"

var dropping = fmt.Sprintf("-- +goose Up\n\n-- contract: %d, since v9.9.9: notes are no longer read.\nDROP TABLE notes;\n", postgres.Generation+1)

// TestContract: a process that has the schema open is refused from the moment at which its
// generation is raised, which is before the step takes away what the process uses.
func TestContract(t *testing.T) {
	t.Parallel()
	ctx, address := t.Context(), postgrestest.URL(t)
	old := postgrestest.Open(t, address)
	if _, err := old.Exec(ctx, `CREATE TABLE notes (n int)`); err != nil {
		t.Fatal(err)
	}
	db, err := postgres.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	done, refused := make(chan error, 1), make(chan struct{})
	go func() {
		steps, err := pgmigrate.UpWith(ctx, db, withStep(t, dropNotes, dropping), func(context.Context) error {
			<-refused
			return nil
		})
		if err == nil && (len(steps) != 1 || steps[0].Name != dropNotes) {
			err = fmt.Errorf("applied %v", steps)
		}
		done <- err
	}()
	// Each write of the old process has all its effect, or is refused as a whole with what
	// to do; that the table is missing is never seen.
	written := 0
	for until := time.Now().Add(time.Minute); err == nil && time.Now().Before(until); {
		if _, err = old.Exec(ctx, `INSERT INTO notes VALUES (1)`); err == nil {
			written++
		}
	}
	schema, ok := errors.AsType[*postgres.SchemaError](err)
	if !ok || !schema.Newer || fault.KindOf(err) != fault.KindOutdated || postgres.Transient(err) {
		t.Errorf("after %d writes: %v", written, err)
	}
	var there int
	if err := old.QueryRow(postgres.WithoutCheck(ctx), `SELECT count(*) FROM notes`).Scan(&there); err != nil || there != written {
		t.Errorf("when it was refused %d of %d notes were there, %v", there, written, err)
	}
	close(refused)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := old.Exec(ctx, `INSERT INTO notes VALUES (1)`); err == nil || fault.KindOf(err) != fault.KindOutdated {
		t.Errorf("after the step: %v", err)
	}
	if _, err := postgres.Open(ctx, address); fault.KindOf(err) != fault.KindOutdated {
		t.Errorf("a process of this version that starts then: %v", err)
	}
}

// TestContractThatWasInterrupted: what was raised and not applied is applied later.
func TestContractThatWasInterrupted(t *testing.T) {
	t.Parallel()
	address := postgrestest.URL(t)
	db := postgrestest.Open(t, address)
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := db.Exec(ctx, `CREATE TABLE notes (n int)`); err != nil {
		t.Fatal(err)
	}
	if err := pgmigrate.Raise(ctx, db, postgres.Generation+1); err != nil {
		t.Fatal(err)
	}
	cancel()
	state, err := db.State(t.Context())
	if err != nil || state.Generation != postgres.Generation+1 {
		t.Fatalf("%+v, %v", state, err)
	}
	if _, err := pgmigrate.UpWith(t.Context(), db, withStep(t, dropNotes, dropping), nil); fault.KindOf(err) != fault.KindOutdated {
		t.Errorf("a program that does not know the generation migrates: %v", err)
	}
}

// TestStepGivesWay: a step that waits for the lock of another's transaction lets others
// use the table meanwhile.
func TestStepGivesWay(t *testing.T) {
	t.Parallel()
	ctx, address := t.Context(), postgrestest.URL(t)
	db := postgrestest.Open(t, address)
	if _, err := db.Exec(ctx, `CREATE TABLE notes (n int)`); err != nil {
		t.Fatal(err)
	}
	holder, err := db.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = holder.Rollback(context.WithoutCancel(ctx)) }()
	if _, err := holder.Exec(ctx, `INSERT INTO notes VALUES (1)`); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := pgmigrate.UpWith(ctx, db, withStep(t, "99990101000000_more_notes.sql", "-- +goose Up\nALTER TABLE notes ADD COLUMN more text;\n"), nil)
		done <- err
	}()
	await(t, db, `SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'notes'::regclass`)
	var n int
	if err := db.QueryRow(ctx, `SELECT count(*) FROM notes`).Scan(&n); err != nil || n != 0 {
		t.Errorf("a reader behind the step: %d, %v", n, err)
	}
	if err := holder.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := db.QueryRow(ctx, `SELECT more FROM notes`).Scan(new(*string)); err != nil {
		t.Error(err)
	}
}

// TestStepTriesAgain: a step that PostgreSQL ends for a deadlock with what runs is tried again.
func TestStepTriesAgain(t *testing.T) {
	t.Parallel()
	ctx, address := t.Context(), postgrestest.URL(t)
	db := postgrestest.Open(t, address)
	if _, err := db.Exec(ctx, `CREATE SEQUENCE tries`); err != nil {
		t.Fatal(err)
	}
	const step = `-- +goose Up
CREATE TABLE notes (n int);
-- +goose StatementBegin
DO $$ BEGIN
	IF nextval('tries') < 3 THEN
		RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01';
	END IF;
END $$;
-- +goose StatementEnd
`
	steps, err := pgmigrate.UpWith(ctx, db, withStep(t, "99990101000000_notes.sql", step), nil)
	if err != nil || len(steps) != 1 {
		t.Fatalf("%v, %v", steps, err)
	}
	var tries, notes int
	if err := db.QueryRow(ctx, `SELECT last_value, (SELECT count(*) FROM notes) FROM tries`).Scan(&tries, &notes); err != nil || tries != 3 || notes != 0 {
		t.Errorf("%d tries, %v", tries, err)
	}
}

// await asks until a count is above 0.
func await(t *testing.T, db *postgres.DB, query string) {
	t.Helper()
	for until := time.Now().Add(time.Minute); ; {
		var n int
		if err := pgx.BeginFunc(t.Context(), db, func(tx pgx.Tx) error { return tx.QueryRow(t.Context(), query).Scan(&n) }); err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			return
		}
		if time.Now().After(until) {
			t.Fatal("it did not happen within a minute")
		}
	}
}
