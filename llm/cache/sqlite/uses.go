package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/cache"
)

// maxPending bounds what a crash forgets: uses, never answers.
const maxPending = 1000

// uses are hits and misses that are not written yet.
type uses struct {
	used   map[llm.Key]time.Time
	hits   int64
	misses int64
	tokens int64
	usd    float64
	priced int64
}

func (u *uses) hit(e *cache.Entry, tokens int64) {
	if u.used == nil {
		u.used = map[llm.Key]time.Time{}
	}
	u.used[e.Key] = time.Now()
	u.hits++
	u.tokens += tokens
	if e.CostUSD != nil {
		u.priced++
		u.usd += *e.CostUSD
	}
}

func (u *uses) count() int64 { return u.hits + u.misses }

// flush writes what is pending in a transaction of its own. The caller holds mu.
func (s *Store) flush() error {
	if s.pending.count() == 0 {
		return nil
	}
	if err := s.write(s.writeUses); err != nil {
		return err
	}
	s.pending = uses{}
	return nil
}

// writeUses writes what is pending within a transaction.
func (s *Store) writeUses() error {
	u := &s.pending
	if u.count() == 0 {
		return nil
	}
	if len(u.used) > 0 {
		stmt, _, err := s.conn.Prepare(`UPDATE answers SET used = max(used, ?) WHERE key = ?`)
		if err != nil {
			return err
		}
		defer stmt.Close()
		for key, at := range u.used {
			if err := bind(stmt, []any{at.UnixNano(), key[:]}); err != nil {
				return err
			}
			if err := stmt.Exec(); err != nil {
				return err
			}
		}
	}
	return s.exec(`UPDATE totals SET hits = hits + ?, misses = misses + ?, tokens = tokens + ?, usd = usd + ?, priced = priced + ?`,
		u.hits, u.misses, u.tokens, u.usd, u.priced)
}

// Stats says what a store holds and what it was good for, since it was made.
type Stats struct {
	Entries     int64    `json:"entries"`
	Bytes       int64    `json:"bytes"` // as they count against the limit
	Hits        int64    `json:"hits"`
	Misses      int64    `json:"misses"`
	HitRate     float64  `json:"hit_rate"` // hits of all reads, from 0 to 1; 0 without reads
	TokensSaved int64    `json:"tokens_saved"`
	USDSaved    *float64 `json:"usd_saved"` // by hits whose price is known; nil if there were hits and none was
}

// Stats sums up the store, uses by other processes included once they are
// written.
func (s *Store) Stats(ctx context.Context) (Stats, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		return Stats{}, llm.ContextError(ctx)
	}
	if err := s.flush(); err != nil {
		return Stats{}, fmt.Errorf("writing cache %s: %w", s.path, explain(err))
	}
	stmt, _, err := s.conn.Prepare(`SELECT entries, bytes, hits, misses, tokens, usd, priced FROM totals`)
	if err != nil {
		return Stats{}, fmt.Errorf("reading cache %s: %w", s.path, explain(err))
	}
	defer stmt.Close()
	var st Stats
	if stmt.Step() {
		st = Stats{
			Entries: stmt.ColumnInt64(0), Bytes: stmt.ColumnInt64(1), Hits: stmt.ColumnInt64(2),
			Misses: stmt.ColumnInt64(3), TokensSaved: stmt.ColumnInt64(4),
		}
		if st.Hits+st.Misses > 0 {
			st.HitRate = float64(st.Hits) / float64(st.Hits+st.Misses)
		}
		if st.Hits == 0 || stmt.ColumnInt64(6) > 0 {
			st.USDSaved = new(stmt.ColumnFloat(5))
		}
	}
	if err := stmt.Err(); err != nil {
		return Stats{}, fmt.Errorf("reading cache %s: %w", s.path, explain(err))
	}
	return st, nil
}
