package postgres

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Checked is how old what a process knows of the generation of a schema may be when it
// begins to use a connection.
const Checked = time.Second

// fence keeps a process that is running from a schema that a newer one has changed in a
// way that it cannot use.
type fence struct {
	db     string
	schema string
	next   atomic.Int64 // when the generation is to be read again, since the start of the process
}

var started = time.Now() // of the monotonic clock

type uncheckedKey struct{}

// WithoutCheck returns ctx for what may use the schema whatever its generation.
func WithoutCheck(ctx context.Context) context.Context {
	return context.WithValue(ctx, uncheckedKey{}, true)
}

// prepare is called before a connection is used, and returns a [*SchemaError] if the
// program can no longer use the schema, or a [*ServerError] if it would be another one. A connection that is broken is replaced.
func (f *fence) prepare(ctx context.Context, conn *pgx.Conn) (usable bool, err error) {
	now := time.Since(started)
	if ctx.Value(uncheckedKey{}) != nil || int64(now) < f.next.Load() {
		return true, nil
	}
	var generation int
	var path string
	err = conn.QueryRow(ctx, `SELECT generation, current_setting('search_path') FROM schema_generation`).Scan(&generation, &path)
	_, answered := errors.AsType[*pgconn.PgError](err)
	switch {
	case noTable(err) || errors.Is(err, pgx.ErrNoRows):
		return true, nil // it is not there yet; what uses it says so
	case answered || ctx.Err() != nil:
		return true, err
	case err != nil:
		return false, nil //nolint:nilerr // the next connection says why, if it is not the connection
	case generation > Generation:
		return true, &SchemaError{DB: f.db, Newer: true}
	}
	if err := wrongPath(path, conn.Config().User, f.schema); err != nil {
		return true, err
	}
	f.next.Store(int64(now + Checked))
	return true, nil
}
