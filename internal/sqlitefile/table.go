package sqlitefile

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/internal/tablecopy"
)

// Table is a [tablecopy.Table] in a file.
type Table struct {
	Label   string // the name of the records
	Columns string // see [tablecopy.Columns]
	Key     int    // how many of the columns are the key

	// From is the table, or a join, that rows are read from.
	From string
	// Exprs are what columns are read as, unless that is their name.
	Exprs map[string]string
	// Where restricts the rows.
	Where string
	// After is the condition of the rows after a key, whose values are ?1, ?2 and so on,
	// and Order their order. Both follow from the key unless they are set.
	After, Order string
	// Check is given the further columns of a row that Checked lists.
	Checked string
	Check   func(row []any, checked []any) error

	// Writes are the statements that write a row, whose values are ?1, ?2 and so on,
	// followed by those that Extra returns. If there are none, From is written to.
	Writes []string
	Extra  func(c *Conn, row []any) ([]any, error)

	// Use calls do with a connection, within a transaction if that writes.
	Use func(ctx context.Context, writes bool, do func(c *Conn) error) error

	columns []tablecopy.Column
	read    [2]string // of the first rows, and of those after a key
}

var _ tablecopy.Table = (*Table)(nil)

// NewTable returns a table, with what follows from the fields that are set.
func NewTable(t Table) *Table {
	t.columns = tablecopy.Columns(t.Columns)
	expr := func(c tablecopy.Column) string {
		if e := t.Exprs[c.Name]; e != "" {
			return e
		}
		return c.Name
	}
	keys := t.columns[:t.Key]
	if t.Order == "" {
		t.Order = tablecopy.Names(keys, expr)
	}
	if t.After == "" {
		marks := make([]string, t.Key)
		for i := range marks {
			marks[i] = fmt.Sprintf("?%d", i+1)
		}
		t.After = fmt.Sprintf("(%s) > (%s)", tablecopy.Names(keys, expr), strings.Join(marks, ", "))
		if t.Key > 1 { // finds the place also where the columns are of two tables
			t.After = expr(keys[0]) + " >= ?1 AND " + t.After
		}
	}
	for i := range t.read {
		sql := "SELECT " + tablecopy.Names(t.columns, expr)
		if t.Checked != "" {
			sql += ", " + t.Checked
		}
		sql += " FROM " + t.From
		var where []string
		if t.Where != "" {
			where = append(where, t.Where)
		}
		if i > 0 {
			where = append(where, t.After)
		}
		if len(where) > 0 {
			sql += " WHERE " + strings.Join(where, " AND ")
		}
		t.read[i] = sql + " ORDER BY " + t.Order
	}
	if t.Writes == nil {
		name := func(c tablecopy.Column) string { return c.Name }
		sql := fmt.Sprintf("INSERT INTO %s (%s) VALUES (?%s) ON CONFLICT (%s) DO ", t.From, tablecopy.Names(t.columns, name), strings.Repeat(", ?", len(t.columns)-1), tablecopy.Names(keys, name))
		if rest := t.columns[t.Key:]; len(rest) > 0 {
			sql += "UPDATE SET " + tablecopy.Names(rest, func(c tablecopy.Column) string { return c.Name + " = excluded." + c.Name })
		} else {
			sql += "NOTHING"
		}
		t.Writes = []string{sql}
	}
	return &t
}

// Name implements [tablecopy.Table].
func (t *Table) Name() string { return t.Label }

// Row implements [tablecopy.Table].
func (t *Table) Row() []tablecopy.Column { return t.columns }

// Keys implements [tablecopy.Table].
func (t *Table) Keys() int { return t.Key }

// Finish implements [tablecopy.Table].
func (t *Table) Finish(context.Context) error { return nil }

// errEnough stops reading when there are rows enough.
var errEnough = errors.New("enough rows")

// Read implements [tablecopy.Table].
func (t *Table) Read(ctx context.Context, after []any, limit int) (rows [][]any, err error) {
	sql := t.read[0]
	if after != nil {
		sql = t.read[1]
	}
	err = t.Use(ctx, false, func(c *Conn) error {
		rows = nil
		var bytes int64
		err := c.Query(sql, func(stmt *sqlite3.Stmt) error {
			all := make([]any, stmt.ColumnCount())
			for i := range all {
				all[i] = value(stmt, i)
			}
			n := len(t.columns)
			row := all[:n:n]
			if t.Check != nil {
				if err := t.Check(row, all[n:]); err != nil {
					return err
				}
			}
			rows = append(rows, row)
			if bytes += tablecopy.Size(row); len(rows) == limit || bytes >= tablecopy.MaxBytes {
				return errEnough
			}
			return nil
		}, t.args(after)...)
		if errors.Is(err, errEnough) {
			return nil
		}
		return err
	})
	return rows, err
}

// value returns a column: an int64, a float64, a []byte that is not nil, or nil.
func value(stmt *sqlite3.Stmt, i int) any {
	switch stmt.ColumnType(i) {
	case sqlite3.INTEGER:
		return stmt.ColumnInt64(i)
	case sqlite3.FLOAT:
		return stmt.ColumnFloat(i)
	case sqlite3.NULL:
		return nil
	case sqlite3.TEXT:
		return append([]byte{}, stmt.ColumnRawText(i)...)
	default:
		return append([]byte{}, stmt.ColumnRawBlob(i)...)
	}
}

// args returns the first values of a row as they are bound.
func (t *Table) args(row []any) []any {
	args := make([]any, len(row))
	for i, v := range row {
		args[i] = v
		if text, ok := v.([]byte); ok && t.columns[i].Type == tablecopy.Text {
			args[i] = string(text)
		}
	}
	return args
}

// Write implements [tablecopy.Table].
func (t *Table) Write(ctx context.Context, rows [][]any) error {
	return t.Use(ctx, true, func(c *Conn) error {
		for _, row := range rows {
			args := t.args(row)
			if t.Extra != nil {
				extra, err := t.Extra(c, row)
				if err != nil {
					return err
				}
				args = append(args, extra...)
			}
			for _, sql := range t.Writes {
				if err := c.Run(sql, args...); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// Use calls do with the connection of a file, as [Table] wants it.
func (l *Lazy) Use(ctx context.Context, writes bool, do func(c *Conn) error) error {
	if writes {
		return l.Write(do)
	}
	return l.Read(ctx, do)
}

// LastNumber returns the table of the last number that another one, whose numbers are
// never used again, has given.
func LastNumber(label, of string, use func(context.Context, bool, func(*Conn) error) error) Table {
	return Table{
		Label: label, From: "sqlite_sequence", Key: 1, Columns: "id int, n int", Use: use,
		Exprs: map[string]string{"id": "1", "n": "seq"}, Where: "name = '" + of + "' AND seq > 0",
		Writes: []string{
			"INSERT INTO sqlite_sequence (name, seq) SELECT '" + of + "', 0 WHERE ?1 = 1 AND ?2 > 0 AND NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = '" + of + "')",
			"UPDATE sqlite_sequence SET seq = ?2 WHERE ?1 = 1 AND name = '" + of + "'",
		},
	}
}
