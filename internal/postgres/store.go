package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// useTimeout bounds one use of the database by a [Store].
const useTimeout = 10 * time.Second

// Store is the database as a small store uses it: each use ends in a time, and its error
// says what failed where, with advice. It is safe for concurrent use.
type Store struct {
	*DB

	Holds string // what is in it, such as "keys"

	// Own are the errors of the store that uses the database. They are returned as they
	// are.
	Own []error
}

// Close gives the database back.
func (s *Store) Close() error {
	s.DB.Close()
	return nil
}

// Read calls do with a context for one use of the database.
func (s *Store) Read(ctx context.Context, do func(context.Context) error) error {
	return s.use(ctx, "reading", do)
}

// Write calls do, which runs one transaction, until that is in no other one's way.
func (s *Store) Write(ctx context.Context, do func(context.Context) error) error {
	return s.use(ctx, "writing", func(ctx context.Context) error {
		return Retry(ctx, func() error { return do(ctx) })
	})
}

// Transact calls do in a transaction, until that is in no other one's way.
func (s *Store) Transact(ctx context.Context, do func(ctx context.Context, tx pgx.Tx) error) error {
	return s.Write(ctx, func(ctx context.Context) error {
		return pgx.BeginFunc(ctx, s.DB, func(tx pgx.Tx) error { return do(ctx, tx) })
	})
}

func (s *Store) use(ctx context.Context, verb string, do func(context.Context) error) error {
	work, cancel := context.WithTimeout(ctx, useTimeout)
	defer cancel()
	err := do(work)
	switch {
	case err == nil, slices.ContainsFunc(s.Own, func(own error) bool { return errors.Is(err, own) }):
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return fmt.Errorf("%s the %s at %s: %w", verb, s.Holds, s.DB, Explain(err))
}

// Collect returns the rows of a query, each as read returns it.
func Collect[T any](ctx context.Context, s *Store, read pgx.RowToFunc[T], query string, args ...any) (list []T, err error) {
	err = s.Read(ctx, func(ctx context.Context) error {
		rows, err := s.Query(ctx, query, args...)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, read)
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}
