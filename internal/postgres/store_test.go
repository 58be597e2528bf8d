package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
)

// TestStore: a transaction is repeated when it was in another one's way, and has no effect
// if it fails; errors say where it failed, but for those of the store and its callers.
func TestStore(t *testing.T) {
	t.Parallel()
	errOwn := errors.New("there is no such thing")
	s := postgres.Store{DB: connect(t, postgrestest.URL(t)), Holds: "things", Own: []error{errOwn}}
	if _, err := s.Exec(t.Context(), `CREATE TABLE things (n int)`); err != nil {
		t.Fatal(err)
	}
	add := func(ctx context.Context, then ...error) error {
		return s.Transact(ctx, func(ctx context.Context, tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `INSERT INTO things VALUES ($1)`, len(then)); err != nil || len(then) == 0 {
				return err
			}
			err := then[0]
			then = then[1:]
			return err
		})
	}
	conflict := &pgconn.PgError{Code: "40P01"}
	if err := add(t.Context(), conflict, conflict); err != nil {
		t.Error(err)
	}
	if err := add(t.Context(), fmt.Errorf("adding: %w", errOwn)); !errors.Is(err, errOwn) || strings.Contains(err.Error(), "things at") {
		t.Errorf("an error of the store: %v", err)
	}
	if err := add(t.Context(), errors.New("boom")); err == nil || !strings.HasPrefix(err.Error(), "writing the things at "+s.String()+": boom") {
		t.Errorf("another error: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	errStop := errors.New("the server stops")
	cancel(errStop)
	if err := add(ctx); err != errStop {
		t.Errorf("after the context has ended: %v", err)
	}
	got, err := postgres.Collect(t.Context(), &s, pgx.RowTo[int], `SELECT n FROM things`)
	if err != nil || len(got) != 1 || got[0] != 0 {
		t.Errorf("%v, %v; want only what the third attempt added", got, err)
	}
	_, err = postgres.Collect(t.Context(), &s, pgx.RowTo[int], `SELECT n FROM others`)
	if err == nil || !strings.HasPrefix(err.Error(), "reading the things at ") || !strings.Contains(err.Error(), "bring the schema") {
		t.Errorf("without the table: %v", err)
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"": "", "Grüße": "Grüße", "a\x00b": "a\ufffdb", "a\xffb": "a\ufffdb", "\xff\x00\xff": "\ufffd\ufffd\ufffd"} {
		if got := postgres.Text(text); got != want || postgres.Storable(text) != (text == want) || !postgres.Storable(got) {
			t.Errorf("%q: %q, and it is storable: %t", text, got, postgres.Storable(text))
		}
	}
}

// TestArguments: a text that cannot be stored is asked for as it would have been recorded,
// by all ways to the database.
func TestArguments(t *testing.T) {
	t.Parallel()
	db := connect(t, postgrestest.URL(t))
	for _, text := range []string{"", "Grüße", "a\x00b", "a\xffb", "\xed\xa0\x80"} {
		args := []any{text, 1}
		var row string
		if err := db.QueryRow(t.Context(), `SELECT $1::text || $2::int`, args...).Scan(&row); err != nil || row != postgres.Text(text)+"1" || args[0] != text {
			t.Errorf("%q: a row has %q, %v", text, row, err)
		}
		rows, err := db.Query(t.Context(), `SELECT $1::text`, text)
		if err != nil {
			t.Fatal(err)
		}
		if list, err := pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || list[0] != postgres.Text(text) {
			t.Errorf("%q: a query has %q, %v", text, list, err)
		}
		if _, err := db.Exec(t.Context(), `SELECT $1::text`, text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}
