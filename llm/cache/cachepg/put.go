package cachepg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/cache"
	"github.com/claude-force/claude-force/llm/cache/sealed"
)

// maxTogether is how many answers are written in one transaction, which others wait for,
// and maxBytesTogether of how many bytes of data, unless one alone has more.
const (
	maxTogether      = 64
	maxBytesTogether = 8 << 20
)

// put is an answer that is to be stored.
type put struct {
	entry *cache.Entry
	data  []byte
	done  chan struct{} // closed when err is set
	err   error
}

// puts are those that wait. One caller writes for all.
type puts struct {
	mu      sync.Mutex // guards the fields below
	list    []*put
	writing bool
}

// add adds an answer, and reports whether its caller is to write.
func (p *puts) add(one *put) (write bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, one)
	write = !p.writing
	p.writing = true
	return write
}

// take takes the first ones, each key once. Without any, the writer ends.
func (p *puts) take() (taken []*put) {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen, size := map[llm.Key]bool{}, 0
	n := 0
	for ; n < min(len(p.list), maxTogether); n++ {
		one := p.list[n]
		if size += len(one.data); seen[one.entry.Key] || n > 0 && size > maxBytesTogether {
			break
		}
		seen[one.entry.Key] = true
	}
	taken, p.list = p.list[:n:n], p.list[n:]
	p.writing = n > 0
	return taken
}

// Put implements [cache.Store].
func (s *Store) Put(ctx context.Context, e *cache.Entry) error {
	if err := s.ready(ctx, "writing"); err != nil {
		return err
	}
	if !postgres.Storable(e.Agent) || !postgres.Storable(e.Model) { // names that a file may have
		named := *e
		named.Agent, named.Model = postgres.Text(e.Agent), postgres.Text(e.Model)
		e = &named
	}
	data, err := sealed.Data(s.box, e)
	if err != nil {
		return err
	}
	// It would push out everything else, then itself.
	if size := sealed.Size(e, data); size > s.max {
		return fmt.Errorf("writing the cache at %s: the answer takes %d bytes and the whole cache may have %d", s.db, size, s.max)
	}
	one := &put{entry: e, data: data, done: make(chan struct{})}
	if s.waiting.add(one) {
		// The first caller writes what waits, for all.
		for list := s.waiting.take(); len(list) > 0; list = s.waiting.take() {
			s.putAll(context.WithoutCancel(ctx), list)
		}
	}
	<-one.done
	return one.err
}

// putAll stores answers in one transaction, or, if it fails, each in its own.
func (s *Store) putAll(ctx context.Context, list []*put) {
	err := s.use(ctx, "writing", func(ctx context.Context) error { return s.write(ctx, list) })
	if err != nil && len(list) > 1 && s.ready(ctx, "writing") == nil {
		for i := range list {
			s.putAll(ctx, list[i:i+1])
		}
		return
	}
	for _, one := range list {
		one.err = err
		close(one.done)
	}
}

// write stores answers with the uses in memory, then removes what is too old or too much.
func (s *Store) write(ctx context.Context, list []*put) error {
	slices.SortFunc(list, func(a, b *put) int { return bytes.Compare(a.entry.Key[:], b.entry.Key[:]) })
	taken := s.uses.take()
	var total int64
	var expired bool
	now := time.Now().UnixNano()
	err := postgres.Retry(ctx, func() error {
		return pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error {
			keys := make([][]byte, len(list))
			batch := &pgx.Batch{}
			for i, one := range list {
				keys[i] = one.entry.Key[:]
				s.queue(batch, one, now)
			}
			if _, _, err := s.drop(ctx, tx, `key = ANY($1)`, keys); err != nil {
				return err
			}
			// Of two processes that store the same answer at once the first does.
			var entries, bytes int64
			results := tx.SendBatch(ctx, batch)
			for range list {
				var size int64
				switch err := results.QueryRow().Scan(&size); {
				case err == nil:
					entries, bytes = entries+1, bytes+size
				case errors.Is(err, pgx.ErrNoRows):
				default:
					return errors.Join(err, results.Close())
				}
			}
			if err := results.Close(); err != nil {
				return err
			}
			if err := s.count(ctx, tx, taken); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `UPDATE cache_totals SET entries = entries + $2, bytes = bytes + $3 WHERE part = $1`, s.part, entries, bytes); err != nil {
				return err
			}
			// The first to expire is read from the index. Whether there is one that has expired
			// would be looked for among all answers: the planner takes it to be found soon.
			return tx.QueryRow(ctx, `SELECT sum(bytes)::bigint, coalesce((SELECT min(expires) FROM cache_answers) <= $1, false) FROM cache_totals`, now).Scan(&total, &expired)
		})
	})
	if err != nil {
		s.uses.putBack(taken)
		return err
	}
	if total <= s.max && !expired {
		return nil
	}
	return s.evict(ctx, time.Now())
}

// queue adds the statement that stores an answer, unless another process just did.
func (s *Store) queue(batch *pgx.Batch, one *put, now int64) {
	e := one.entry
	var expires *int64
	if !e.ExpiresAt.IsZero() {
		expires = new(e.ExpiresAt.UnixNano())
	}
	tokens := sealed.Tokens(e)
	batch.Queue(`
		WITH stored AS (INSERT INTO cache_answers (key, agent, model, created, expires, size, tokens, usd, truncated, sum, data)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING RETURNING key, size),
			used AS (INSERT INTO cache_uses (key, used) SELECT key, $12 FROM stored ON CONFLICT (key) DO UPDATE SET used = excluded.used)
		SELECT size FROM stored`,
		e.Key[:], e.Agent, e.Model, e.CreatedAt.UnixNano(), expires, sealed.Size(e, one.data), tokens, e.CostUSD, e.Truncated,
		sealed.Checksum(e, tokens, one.data), one.data, now)
}

// evictChunk bounds a transaction; the rest is for the next ones.
const evictChunk = 256

// evict removes what has expired and, while the store is too large, what was not used for
// longest, unless another process is doing that.
func (s *Store) evict(ctx context.Context, now time.Time) error {
	for more := true; more; {
		err := postgres.Retry(ctx, func() error {
			return pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error {
				more = false
				var mine bool
				if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock(hashtextextended('claude-force cache ' || current_schema(), 0))`).Scan(&mine); err != nil || !mine {
					return err
				}
				expired, _, err := s.drop(ctx, tx, `key IN (SELECT key FROM cache_answers WHERE expires <= $1 ORDER BY expires LIMIT $2)`, now.UnixNano(), evictChunk)
				if err != nil {
					return err
				}
				var total int64
				if err := tx.QueryRow(ctx, `SELECT sum(bytes)::bigint FROM cache_totals`).Scan(&total); err != nil || total <= s.max {
					more = expired == evictChunk
					return err
				}
				// The oldest uses whose removal, with all older ones, is enough.
				n, freed, err := s.drop(ctx, tx, `key IN (
					SELECT key FROM (SELECT u.key, sum(a.size) OVER (ORDER BY u.used, u.key ROWS UNBOUNDED PRECEDING) - a.size AS before
						FROM (SELECT key, used FROM cache_uses ORDER BY used, key LIMIT $1) u JOIN cache_answers a ON a.key = u.key) o WHERE before < $2)`, evictChunk, total-s.max)
				more = n > 0 && total-freed > s.max
				return err
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}
