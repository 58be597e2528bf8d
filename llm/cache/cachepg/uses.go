package cachepg

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/llm"
)

// maxPending bounds what a crash forgets: uses, never answers.
const maxPending = 1000

// use is one read: a hit, or a miss.
type use struct {
	key    llm.Key
	hit    bool
	tokens int64
	usd    *float64
}

// uses are those that are not in the database yet.
type uses struct {
	mu sync.Mutex // guards the fields below
	counted
}

// counted are uses, added up.
type counted struct {
	n                            int
	hits, misses, tokens, priced int64
	usd                          float64
	last                         map[llm.Key]int64 // when, in nanoseconds
}

// note remembers a use.
func (s *Store) note(ctx context.Context, u use) {
	if s.uses.add(u, time.Now()) < maxPending {
		return
	}
	// The answer is there; that its use could not be written is for the next write to say.
	work, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	_ = s.flushUses(work)
}

// add adds a use and returns how many there are.
func (p *uses) add(u use, now time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n++
	if !u.hit {
		p.misses++
		return p.n
	}
	p.hits++
	p.tokens += u.tokens
	if u.usd != nil {
		p.priced++
		p.usd += *u.usd
	}
	if p.last == nil {
		p.last = map[llm.Key]int64{}
	}
	p.last[u.key] = now.UnixNano()
	return p.n
}

// take returns the uses so far, and forgets them.
func (p *uses) take() counted {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.counted
	p.counted = counted{}
	return taken
}

// putBack adds uses that could not be written, unless there are too many by now.
func (p *uses) putBack(c counted) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n+c.n > 10*maxPending {
		return
	}
	p.n += c.n
	p.hits, p.misses, p.tokens, p.priced, p.usd = p.hits+c.hits, p.misses+c.misses, p.tokens+c.tokens, p.priced+c.priced, p.usd+c.usd
	for key, at := range c.last {
		if p.last == nil {
			p.last = map[llm.Key]int64{}
		}
		p.last[key] = max(p.last[key], at)
	}
}

// flushUses writes the uses in memory.
func (s *Store) flushUses(ctx context.Context) error {
	taken := s.uses.take()
	err := postgres.Retry(ctx, func() error {
		return pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error { return s.count(ctx, tx, taken) })
	})
	if err != nil {
		s.uses.putBack(taken)
	}
	return err
}

// count writes uses in a transaction.
func (s *Store) count(ctx context.Context, tx pgx.Tx, c counted) error {
	if c.n == 0 {
		return nil
	}
	keys := make([][]byte, 0, len(c.last))
	for key := range c.last {
		keys = append(keys, key[:])
	}
	slices.SortFunc(keys, bytes.Compare)
	at := make([]int64, len(keys))
	for i, key := range keys {
		at[i] = c.last[llm.Key(key)]
	}
	batch := &pgx.Batch{}
	if len(keys) > 0 {
		batch.Queue(`
			WITH new AS (SELECT * FROM unnest($1::bytea[], $2::bigint[]) AS n (key, used)),
				locked AS (SELECT u.key, n.used FROM cache_uses u JOIN new n ON n.key = u.key WHERE u.used < n.used ORDER BY u.key FOR UPDATE OF u)
			UPDATE cache_uses u SET used = l.used FROM locked l WHERE u.key = l.key`, keys, at)
	}
	batch.Queue(`UPDATE cache_totals SET hits = hits + $2, misses = misses + $3, tokens = tokens + $4, usd = usd + $5, priced = priced + $6 WHERE part = $1`,
		s.part, c.hits, c.misses, c.tokens, c.usd, c.priced)
	return tx.SendBatch(ctx, batch).Close()
}
