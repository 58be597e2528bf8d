// Package callspg keeps calls in a PostgreSQL database, with the same sums over them as
// the store in a file, for the processes of several machines.
//
// Rows are in a partition for each day, made ahead and dropped whole. A batch of calls is
// copied in, with what it changes in the sums in the same transaction; all rows that
// transactions change are locked in one order, so that many processes do not stop each
// other. What a machine records waits in a file of its own (package spool), also while the
// database is out of reach. The database knows how far each of these files was read, so
// each call is added once.
package callspg

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsql"
	"github.com/claude-force/claude-force/analytics/spool"
	"github.com/claude-force/claude-force/internal/postgres"
)

// timeout bounds a transaction that adds calls.
const timeout = 30 * time.Second

// maxSpool bounds what waits on a machine while the database is out of reach.
const maxSpool = 256 << 20

// Store is an [analytics.Store]. It is safe for concurrent use.
type Store struct {
	*callsql.Reader
	db    *postgres.DB
	spool *spool.File

	mu        sync.Mutex // guards the fields below
	closed    bool
	names     map[name]int64 // ids that are known
	toolNames map[toolName]int64
	days      map[int64]bool // of which partitions are there, or cannot be made
}

var _ analytics.Store = (*Store)(nil)

// spoolFile returns the spool of a machine, beside a path.
func spoolFile(path string) *spool.File { return spool.NewFile(path, spool.FileOptions{Max: maxSpool}) }

// Open returns the calls in a database, which is given back by Close. What this machine has
// recorded waits beside path.
func Open(db *postgres.DB, path string) *Store {
	s := &Store{db: db, spool: spoolFile(path), names: map[name]int64{}, toolNames: map[toolName]int64{}, days: map[int64]bool{}}
	s.Reader = callsql.NewReader(s, callsql.Dialect{Join: "JOIN", Attempts: "(r.time = a.call_time AND r.id = a.call)"})
	return s
}

// NewRecorder returns a recorder for the calls of this machine, which wait beside path. The
// database is opened when it is needed. onWaiting is called once if it is out of reach, and
// onLost once if calls are lost since the file is full.
func NewRecorder(path string, open func(context.Context) (*postgres.DB, error), keep analytics.Retention, onWaiting, onLost func(error)) *spool.Recorder {
	return spool.NewRecorder(spool.Options{File: spoolFile(path), Keep: keep, Shared: true, OnWaiting: onWaiting, OnLost: onLost, Open: func() (spool.Store, error) {
		ctx, cancel := context.WithTimeout(context.Background(), timeout) //nolint:forbidigo // the recorder opens its store when it first has something to add
		defer cancel()
		db, err := open(ctx)
		if err != nil {
			return nil, err
		}
		return Open(db, path), nil
	}})
}

// Close gives the database back.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		s.db.Close()
		return s.spool.Close()
	}
	return nil
}

// ready reports why the store cannot be used.
func (s *Store) ready(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case s.closed:
		return fmt.Errorf("using the calls at %s: the store is closed", s.db)
	}
	return nil
}

// explain returns an error with the store and what to do.
func (s *Store) explain(ctx context.Context, verb string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	if _, ours := errors.AsType[*analytics.QueryError](err); ours {
		return err
	}
	return fmt.Errorf("%s the calls at %s: %w", verb, s.db, postgres.Explain(err))
}

// Read implements [callsql.Database]. Results are not kept: what other machines write is
// not known without a question to the database.
func (s *Store) Read(ctx context.Context, _ any, do func(callsql.Query) (any, error)) (value any, err error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	err = pgx.BeginTxFunc(ctx, s.db, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		value, err = do(func(sql string, row func(callsql.Row) error, args ...any) error {
			rows, err := tx.Query(ctx, numbered(sql), postgres.Arguments(args)...)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				values, err := rows.Values()
				if err != nil {
					return err
				}
				if err := row(valuesRow(values)); err != nil {
					return err
				}
			}
			return rows.Err()
		})
		return err
	})
	return value, s.explain(ctx, "reading", err)
}

// numbered returns a statement with the parameters as PostgreSQL numbers them.
func numbered(sql string) string {
	var sb strings.Builder
	for n := 1; ; n++ {
		before, after, found := strings.Cut(sql, "?")
		sb.WriteString(before)
		if !found {
			return sb.String()
		}
		sb.WriteString("$" + strconv.Itoa(n))
		sql = after
	}
}

// valuesRow is a [callsql.Row].
type valuesRow []any

func (r valuesRow) ColumnInt64(i int) int64 {
	switch v := r[i].(type) {
	case int64:
		return v
	case int32:
		return int64(v)
	}
	return 0
}

func (r valuesRow) ColumnInt(i int) int { return int(r.ColumnInt64(i)) }

func (r valuesRow) ColumnText(i int) string {
	switch v := r[i].(type) {
	case string:
		return v
	case nil:
		return ""
	}
	return fmt.Sprint(r[i])
}

func (r valuesRow) ColumnRawBlob(i int) []byte {
	b, _ := r[i].([]byte)
	return b
}

// writing runs a transaction, again if it was in another one's way.
func (s *Store) writing(ctx context.Context, do func(context.Context, *batch) error) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	work, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	err := postgres.Retry(work, func() error {
		var b *batch
		err := pgx.BeginFunc(work, s.db, func(tx pgx.Tx) error {
			b = newBatch(s, tx)
			return do(work, b)
		})
		if err == nil {
			b.remember()
		}
		return err
	})
	return s.explain(ctx, "writing", err)
}
