package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/internal/tablecopy"
)

// CopyTable is a [tablecopy.Table] in a database.
type CopyTable struct {
	Label   string // the name of the records
	Columns string // see [tablecopy.Columns]
	Key     int    // how many of the columns are the key

	// From is the table, or a join, that rows are read from.
	From string
	// Exprs are what columns are read as, unless that is their name.
	Exprs map[string]string
	// Where restricts the rows.
	Where string

	// Writes are the statements that write rows, which are in the table r. If there are
	// none, From is written to.
	Writes []string
	// Identity is the column that the database numbers, if there is one.
	Identity string
	// Before is called before rows are written.
	Before func(ctx context.Context, rows [][]any) error
	// Finishes are the statements that bring up to date what follows from the rows.
	Finishes []string

	DB *DB

	columns []tablecopy.Column
	read    [2]string // of the first rows, and of those after a key
	rows    string    // the table r
}

var (
	_ tablecopy.Table  = (*CopyTable)(nil)
	_ tablecopy.Fitter = (*CopyTable)(nil)
)

// NewCopyTable returns a table, with what follows from the fields that are set.
func NewCopyTable(t CopyTable) *CopyTable {
	t.columns = tablecopy.Columns(t.Columns)
	expr := func(c tablecopy.Column) string {
		e := t.Exprs[c.Name]
		if e == "" {
			e = c.Name
		}
		switch c.Type {
		case tablecopy.Int:
			return "(" + e + ")::bigint"
		case tablecopy.Bool:
			return "(" + e + ")::int::bigint"
		case tablecopy.Time:
			return "floor(extract(epoch FROM " + e + "))::bigint"
		default:
			return e
		}
	}
	name := func(c tablecopy.Column) string { return c.Name }
	plain := func(c tablecopy.Column) string { // as an index has it
		if e := t.Exprs[c.Name]; e != "" {
			return e
		}
		return c.Name
	}
	keys := t.columns[:t.Key]
	for i := range t.read {
		var where []string
		if t.Where != "" {
			where = append(where, t.Where)
		}
		if i > 0 {
			marks := make([]string, t.Key)
			for k := range marks {
				marks[k] = fmt.Sprintf("$%d", k+2)
			}
			where = append(where, fmt.Sprintf("(%s) > (%s)", tablecopy.Names(keys, plain), strings.Join(marks, ", ")))
		}
		t.read[i] = "SELECT " + tablecopy.Names(t.columns, expr) + " FROM " + t.From
		if len(where) > 0 {
			t.read[i] += " WHERE " + strings.Join(where, " AND ")
		}
		t.read[i] += " ORDER BY " + tablecopy.Names(keys, plain) + " LIMIT $1"
	}
	arrays := make([]string, len(t.columns))
	for i, c := range t.columns {
		arrays[i] = fmt.Sprintf("$%d::%s[]", i+1, sent[c.Type])
	}
	t.rows = fmt.Sprintf("WITH r AS (SELECT * FROM unnest(%s) AS r (%s)) ", strings.Join(arrays, ", "), tablecopy.Names(t.columns, name))
	if t.Writes == nil {
		sql := fmt.Sprintf("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM r ON CONFLICT (%s) DO ", t.From, tablecopy.Names(t.columns, name), tablecopy.Names(t.columns, received), tablecopy.Names(keys, name))
		if rest := t.columns[t.Key:]; len(rest) > 0 {
			sql += "UPDATE SET " + tablecopy.Names(rest, func(c tablecopy.Column) string { return c.Name + " = excluded." + c.Name })
		} else {
			sql += "NOTHING"
		}
		t.Writes = []string{sql}
	}
	if t.Identity != "" {
		t.Finishes = append(t.Finishes, fmt.Sprintf("SELECT setval(pg_get_serial_sequence('%[1]s', '%[2]s'), max(%[2]s)) FROM %[1]s HAVING max(%[2]s) > 0", t.From, t.Identity))
	}
	return &t
}

// sent are the types in which values are sent.
var sent = map[tablecopy.Type]string{
	tablecopy.Int: "bigint", tablecopy.Real: "double precision", tablecopy.Text: "text", tablecopy.Blob: "bytea", tablecopy.Bool: "bigint", tablecopy.Time: "bigint",
}

// received returns a column of r as it is stored.
func received(c tablecopy.Column) string {
	switch c.Type {
	case tablecopy.Bool:
		return "r." + c.Name + "::int::boolean"
	case tablecopy.Time:
		return "to_timestamp(r." + c.Name + ")"
	default:
		return "r." + c.Name
	}
}

// Name implements [tablecopy.Table].
func (t *CopyTable) Name() string { return t.Label }

// Row implements [tablecopy.Table].
func (t *CopyTable) Row() []tablecopy.Column { return t.columns }

// Keys implements [tablecopy.Table].
func (t *CopyTable) Keys() int { return t.Key }

// Fit implements [tablecopy.Fitter].
func (t *CopyTable) Fit(row []any) {
	for i, v := range row {
		if text, ok := v.([]byte); ok && t.columns[i].Type == tablecopy.Text && !Storable(string(text)) {
			row[i] = []byte(Text(string(text)))
		}
	}
}

// Read implements [tablecopy.Table].
func (t *CopyTable) Read(ctx context.Context, after []any, limit int) (list [][]any, err error) {
	sql, args := t.read[0], []any{limit}
	if after != nil {
		sql = t.read[1]
		for i, v := range after {
			if text, ok := v.([]byte); ok && t.columns[i].Type == tablecopy.Text {
				v = string(text)
			}
			args = append(args, v)
		}
	}
	rows, err := t.DB.Query(ctx, sql, args...)
	if err != nil {
		return nil, Explain(err)
	}
	defer rows.Close()
	var bytes int64
	for bytes < tablecopy.MaxBytes && rows.Next() {
		row, err := rows.Values()
		if err != nil {
			return nil, err
		}
		for i, v := range row {
			if text, ok := v.(string); ok {
				row[i] = []byte(text)
			}
		}
		list = append(list, row)
		bytes += tablecopy.Size(row)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return nil, Explain(err)
	}
	return list, nil
}

// Write implements [tablecopy.Table].
func (t *CopyTable) Write(ctx context.Context, rows [][]any) error {
	if t.Before != nil {
		if err := t.Before(ctx, rows); err != nil {
			return Explain(err)
		}
	}
	args := make([]any, len(t.columns))
	for i, c := range t.columns {
		args[i] = array(c.Type, rows, i)
	}
	return Explain(Retry(ctx, func() error {
		return pgx.BeginFunc(ctx, t.DB, func(tx pgx.Tx) error {
			for _, sql := range t.Writes {
				if _, err := tx.Exec(ctx, t.rows+sql, args...); err != nil {
					return err
				}
			}
			return nil
		})
	}))
}

// array returns the values of a column as an array.
func array(typ tablecopy.Type, rows [][]any, i int) any {
	switch typ {
	case tablecopy.Real:
		return column(rows, i, func(v any) float64 { f, _ := v.(float64); return f })
	case tablecopy.Text:
		return column(rows, i, func(v any) string { b, _ := v.([]byte); return string(b) })
	case tablecopy.Blob:
		list := make([][]byte, len(rows))
		for k, row := range rows {
			list[k], _ = row[i].([]byte)
		}
		return list
	default:
		return column(rows, i, func(v any) int64 { n, _ := v.(int64); return n })
	}
}

// column returns the values of a column, nil for null.
func column[T any](rows [][]any, i int, of func(any) T) []*T {
	list := make([]*T, len(rows))
	for k, row := range rows {
		if row[i] != nil {
			list[k] = new(of(row[i]))
		}
	}
	return list
}

// Finish implements [tablecopy.Table].
func (t *CopyTable) Finish(ctx context.Context) error {
	for _, sql := range t.Finishes {
		if _, err := t.DB.Exec(ctx, sql); err != nil {
			return Explain(err)
		}
	}
	return nil
}

// LastNumber returns the table of the last number that another one has given, which is the
// only row of the table in.
func LastNumber(label, in string, db *DB) CopyTable {
	return CopyTable{
		Label: label, From: in, Key: 1, Columns: "id int, n int", DB: db,
		Exprs: map[string]string{"id": "1"}, Where: "n > 0",
		Writes: []string{"UPDATE " + in + " t SET n = r.n FROM r"},
	}
}
