//go:build nextversion

package sqlitefile

import (
	"embed"
	"fmt"
	"io/fs"
	"strconv"

	"github.com/ncruces/go-sqlite3"
)

// withNext returns the schema of the next version: that of this one, and a migration more.
// Only the program's own schemas, whose migrations are embedded, have a next version; one
// whose migrations lead further than it does is that of an earlier version.
func withNext(s *Schema) *Schema {
	if _, ok := s.Migrations.(embed.FS); !ok {
		return s
	}
	if _, err := s.migration(s.Version + 1); err == nil {
		return s
	}
	next := *s
	next.Version++
	next.Migrations = nextSteps{s.Migrations, "migrations/" + strconv.Itoa(next.Version) + ".sql"}
	return &next
}

// nextSteps are migrations with one more, which is empty here.
type nextSteps struct {
	fs.FS

	name string
}

func (n nextSteps) ReadFile(name string) ([]byte, error) {
	if name == n.name {
		return nil, nil
	}
	return fs.ReadFile(n.FS, name)
}

// withNext returns the statements of a migration. That of the next version does all that a
// step that only adds may do to the tables there are.
func (c *Conn) withNext(sql string) (string, error) {
	if sql != "" {
		return sql, nil
	}
	sql = "CREATE TABLE IF NOT EXISTS next_notes (id INTEGER PRIMARY KEY, note TEXT NOT NULL) STRICT;\n"
	err := c.Query(`SELECT name FROM pragma_table_list t WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'schema_%'
		AND name <> 'next_notes' AND NOT EXISTS (SELECT 1 FROM pragma_table_info(t.name) WHERE name = 'next_note')`, func(row *sqlite3.Stmt) error {
		sql += fmt.Sprintf("ALTER TABLE %[1]s ADD COLUMN next_note TEXT; ALTER TABLE %[1]s ADD COLUMN next_count INTEGER NOT NULL DEFAULT 7;\n", row.ColumnText(0))
		return nil
	})
	return sql, err
}
