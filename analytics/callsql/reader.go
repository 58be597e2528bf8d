// Package callsql answers questions about calls in SQL that SQLite and PostgreSQL both
// understand, and works out what a batch of calls changes in the sums. Stores add how
// their database is read and written, and have the same tables:
//
//   - call_rows, with the names of who made calls in call_names, and call_attempts;
//   - call_rollups, sums over hours and days, with a sketch of latencies;
//   - call_runs, call_projects, call_tools, call_tool_tasks and call_tool_names;
//   - call_tool_sums, sums of the calls of tools and of the tasks over hours;
//   - call_state, which says since when rows and hours are kept.
//
// Times are in nanoseconds since 1970, those of sums in seconds.
package callsql

import "context"

// Row is a row of a result. Columns are counted from 0. Null is zero. A blob is good for
// the call that gets the row.
type Row interface {
	ColumnInt(i int) int
	ColumnInt64(i int) int64
	ColumnText(i int) string
	ColumnRawBlob(i int) []byte
}

// Query runs a statement whose parameters are question marks, and calls row for each row.
// Parameters are int, int64 and string.
type Query func(sql string, row func(Row) error, args ...any) error

// Database is what a [Reader] reads.
type Database interface {
	// Read calls do with queries that all see one state of the database, and returns what
	// it returns. If key is not nil, Read may return what an earlier call with the same key
	// returned, as long as nothing was written since.
	Read(ctx context.Context, key any, do func(Query) (any, error)) (any, error)
	// Take adds what waits on this machine to be added.
	Take(ctx context.Context) error
}

// Dialect is where databases differ.
type Dialect struct {
	Join     string // joins rows to their names, in that order
	Attempts string // condition by which attempts a are those of call_rows r
}

// Reader implements the parts of [analytics.Store] that read. Results may be shared: who
// gets one must not change it.
type Reader struct {
	db      Database
	dialect Dialect
}

// NewReader returns a reader of a database.
func NewReader(db Database, d Dialect) *Reader { return &Reader{db, d} }

// state is one state of the database.
type state struct {
	query   Query
	dialect *Dialect
}

// read calls do with one state of the database.
func (r *Reader) read(ctx context.Context, do func(*state) error) error {
	_, err := r.db.Read(ctx, nil, func(q Query) (any, error) { return nil, do(&state{q, &r.dialect}) })
	return err
}

// cached returns what query does, or did before if nothing was written since.
func cached[T any](ctx context.Context, r *Reader, key any, query func(*state) (T, error)) (T, error) {
	v, err := r.db.Read(ctx, key, func(q Query) (any, error) { return query(&state{q, &r.dialect}) })
	if err != nil {
		var none T
		return none, err
	}
	return v.(T), nil
}

// ValueSize returns about how many bytes a value of a result takes.
func ValueSize(v any) int64 {
	const word = 24 // an interface and what it points to
	switch v := v.(type) {
	case string:
		return word + int64(len(v))
	case []byte:
		return word + int64(len(v))
	}
	return word
}
