package cachepg

import (
	"context"
	"errors"
	"iter"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/llm/cache"
	"github.com/claude-force/claude-force/llm/cache/sealed"
)

// where returns the condition for the answers that a filter chooses, of two values.
func where(f cache.Filter, now time.Time) (string, []any) {
	until := int64(math.MaxInt64)
	if f.OlderThan != 0 {
		until = now.Add(-f.OlderThan).UnixNano()
	}
	return `created <= $1 AND ($2 = '' OR agent = $2)`, []any{until, postgres.Text(f.Agent)}
}

// pageRows is how many answers are held while they are listed.
const pageRows = 100

// List implements [cache.Backend].
func (s *Store) List(ctx context.Context, f cache.Filter) iter.Seq2[*cache.Entry, error] {
	return func(yield func(*cache.Entry, error) bool) {
		cond, args := where(f, time.Now())
		created, key := int64(math.MaxInt64), []byte{}
		for {
			page, err := s.page(ctx, cond+` AND (created, key) < ($3, $4) ORDER BY created DESC, key DESC LIMIT $5`, append(args[:2:2], created, key, pageRows)...)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
				created, key = e.CreatedAt.UnixNano(), e.Key[:]
			}
			if len(page) < pageRows {
				return
			}
		}
	}
}

// page reads rows; of those that are damaged what is known.
func (s *Store) page(ctx context.Context, where string, args ...any) (page []*cache.Entry, err error) {
	err = s.use(ctx, "reading", func(ctx context.Context) error {
		rows, err := s.db.Query(ctx, `SELECT `+columns+` FROM cache_answers a WHERE `+where, args...)
		if err != nil {
			return err
		}
		page, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (*cache.Entry, error) {
			e, _, err := s.scan(row)
			if errors.Is(err, sealed.ErrDamaged) {
				err = nil
			}
			return e, err
		})
		return err
	})
	return page, err
}

// Show implements [cache.Backend].
func (s *Store) Show(ctx context.Context, prefix string) (*cache.Entry, error) {
	low, high, err := cache.KeyRange(prefix)
	if err != nil {
		return nil, err
	}
	found, err := s.page(ctx, `key BETWEEN $1 AND $2 LIMIT 2`, low[:], high[:])
	if err != nil {
		return nil, err
	}
	return cache.OnlyOne(prefix, found)
}

// clearChunk is how many answers one transaction of Clear removes.
const clearChunk = 5000

// Clear implements [cache.Backend].
func (s *Store) Clear(ctx context.Context, f cache.Filter) (n int, bytes int64, err error) {
	cond, args := where(f, time.Now())
	for more := true; more; {
		err := s.use(ctx, "clearing", func(ctx context.Context) error {
			return postgres.Retry(ctx, func() error {
				var dropped, size int64
				err := pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) (err error) {
					dropped, size, err = s.drop(ctx, tx, `key IN (SELECT key FROM cache_answers WHERE `+cond+` LIMIT $3)`, append(args[:2:2], clearChunk)...)
					return err
				})
				if err == nil {
					n, bytes, more = n+int(dropped), bytes+size, dropped == clearChunk
				}
				return err
			})
		})
		if err != nil {
			return n, bytes, err
		}
	}
	return n, bytes, nil
}

// Stats implements [cache.Backend].
func (s *Store) Stats(ctx context.Context) (st cache.Stats, err error) {
	err = s.use(ctx, "reading", func(ctx context.Context) error {
		if err := s.flushUses(ctx); err != nil {
			return err
		}
		var hits, misses, tokens, priced int64
		var usd float64
		err := s.db.QueryRow(ctx, `SELECT sum(entries)::bigint, sum(bytes)::bigint, sum(hits)::bigint, sum(misses)::bigint, sum(tokens)::bigint, sum(usd), sum(priced)::bigint FROM cache_totals`).
			Scan(&st.Entries, &st.Bytes, &hits, &misses, &tokens, &usd, &priced)
		st.Used(hits, misses, tokens, priced, usd)
		return err
	})
	return st, err
}
