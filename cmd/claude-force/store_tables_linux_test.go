package main

import (
	"maps"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
	"github.com/claude-force/claude-force/internal/sqlitefile"
)

// notCopied are the tables and columns of both kinds of stores that a copy does not write,
// with the reason.
var notCopied = map[string]map[string]string{
	"files": {
		"schema_versions": "of the file",
		"schema_oldest":   "of the file",
		"cipher":          "each store has its own for the key",

		"runs.token":     "no process owns a run of a copy",
		"runs.host":      "as above",
		"runs.boot":      "as above",
		"runs.pid":       "as above",
		"runs.born":      "as above",
		"runs.since":     "as above",
		"runs.heartbeat": "as above",
		"parts":          "as above",
		"outputs.n":      "events are copied with the hash",

		"call_state.pruned": "a copy is pruned when it is due",
		"call_state.spool":  "of the file beside this one",
		"call_state.taken":  "as above",
		"call_tool_sums":    "triggers make it of the rows that are copied",

		"owners":   "processes that make calls: none does",
		"holds":    "as above",
		"attempts": "as above",

		"requests": "of the last minute",

		"answers.id":    "of no meaning elsewhere",
		"totals.folded": "of the file beside this one",
	},
	"database": {
		"schema_versions":   "of the database",
		"schema_generation": "as above",
		"store_copy":        "the copy itself",
		"journal_cipher":    "each store has its own for the key",
		"cache_cipher":      "as above",

		"journal_runs.token":     "no process owns a run of a copy",
		"journal_runs.writer":    "as above",
		"journal_writers":        "as above",
		"journal_parts":          "as above",
		"journal_last_notice.id": "there is one row",

		"call_state.id":     "there is one row",
		"call_state.pruned": "a copy is pruned when it is due",
		"call_spools":       "of files of machines",

		"budget_accounts.reserved_money":  "of calls in flight: there are none",
		"budget_accounts.reserved_tokens": "as above",
		"budget_accounts.reserved_calls":  "as above",
		"budget_owners":                   "as above",
		"budget_reservations":             "as above",
		"budget_attempts":                 "as above",
		"budget_last_exceeded.id":         "there is one row",

		"keys_requests": "of the last minute",
	},
}

// TestEveryTableIsCopied compares the tables and columns that stores have with those that
// the statements of a copy write: one that is added must be copied, or listed above.
func TestEveryTableIsCopied(t *testing.T) {
	t.Parallel()
	settings, err := config.Load(config.Sources{Dir: t.TempDir(), Home: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	dir, url := t.TempDir(), postgrestest.URL(t)
	for kind, store := range map[string]struct {
		name   string
		schema func(*testing.T, string) map[string][]string
	}{"files": {dir, fileSchema}, "database": {url, databaseSchema}} {
		side, err := openSide(t.Context(), settings, store.name, false)
		if err != nil {
			t.Fatal(err)
		}
		var statements []string
		for _, table := range side.tables {
			if err := table.Write(t.Context(), nil); err != nil { // makes the file
				t.Fatalf("%s: %v", table.Name(), err)
			}
			switch table := table.(type) {
			case *sqlitefile.Table:
				statements = append(statements, table.Writes...)
			case *postgres.CopyTable:
				statements = append(append(statements, table.Writes...), table.Finishes...)
			default:
				t.Fatalf("%s is a %T", table.Name(), table)
			}
		}
		if err := side.Close(); err != nil {
			t.Fatal(err)
		}
		written := writtenColumns(statements)
		unused := maps.Clone(notCopied[kind])
		left := func(name string) bool {
			_, listed := notCopied[kind][name]
			delete(unused, name)
			return listed
		}
		for table, columns := range store.schema(t, store.name) {
			if written[table] == nil {
				if !left(table) {
					t.Errorf("%s: %s is not copied", kind, table)
				}
				continue
			}
			for _, column := range columns {
				if !written[table][column] && !left(table+"."+column) {
					t.Errorf("%s: %s.%s is not copied", kind, table, column)
				}
			}
		}
		for name := range unused {
			t.Errorf("%s: %s is listed, but is copied or does not exist", kind, name)
		}
	}
}

var (
	writes = regexp.MustCompile(`^(?:INSERT INTO|UPDATE) (\w+)`)
	word   = regexp.MustCompile(`\w+`)
)

// writtenColumns returns the tables that statements write, with the words of these, among
// which are the columns.
func writtenColumns(statements []string) map[string]map[string]bool {
	written := map[string]map[string]bool{}
	for _, sql := range statements {
		table := writes.FindStringSubmatch(sql)
		if table == nil {
			continue // it sets a sequence
		}
		if written[table[1]] == nil {
			written[table[1]] = map[string]bool{}
		}
		for _, w := range word.FindAllString(sql, -1) {
			written[table[1]][w] = true
		}
	}
	return written
}

// fileSchema returns the tables of the files in a folder, with their columns.
func fileSchema(t *testing.T, dir string) map[string][]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.db"))
	if err != nil || len(files) != 6 {
		t.Fatalf("the store has the files %v, %v", files, err)
	}
	schema := map[string][]string{}
	for _, file := range files {
		conn, err := sqlite3.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		stmt, _, err := conn.Prepare(`SELECT t.name, c.name FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'`)
		if err != nil {
			t.Fatal(err)
		}
		for stmt.Step() {
			table := stmt.ColumnText(0)
			schema[table] = append(schema[table], stmt.ColumnText(1))
		}
		if err := stmt.Close(); err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return schema
}

// databaseSchema returns the tables of a database, with their columns, but for partitions.
func databaseSchema(t *testing.T, url string) map[string][]string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), `SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped`)
	if err != nil {
		t.Fatal(err)
	}
	schema := map[string][]string{}
	var table, column string
	if _, err := pgx.ForEachRow(rows, []any{&table, &column}, func() error {
		schema[table] = append(schema[table], column)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return schema
}
