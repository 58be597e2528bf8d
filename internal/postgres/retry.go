package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// attempts is how often [Retry] tries.
const attempts = 10

// Conflict reports whether a transaction had no effect since it was in another one's way.
func Conflict(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pg.Code == "40001" || pg.Code == "40P01") // serialization failure, deadlock
}

// Retry calls do, which runs a transaction, until that is in no other one's way. A server
// that finds a deadlock ends one of its transactions at random, so there is nothing to wait
// for.
func Retry(ctx context.Context, do func() error) error {
	for attempt := 1; ; attempt++ {
		err := do()
		if !Conflict(err) || attempt == attempts || ctx.Err() != nil {
			return err
		}
	}
}
