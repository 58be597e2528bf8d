package cachedb

import (
	"context"
	"fmt"

	"github.com/claude-force/claude-force/internal/sqlitefile"
	"github.com/claude-force/claude-force/internal/tablecopy"
)

// Tables returns what the store holds, in the order in which it is to be copied. What was
// used and is not counted yet is missing: [Store.Stats] counts it.
func (s *Store) Tables() []tablecopy.Table {
	return []tablecopy.Table{
		sqlitefile.NewTable(sqlitefile.Table{
			Label: "answers", From: "answers", Key: 1, Use: s.use,
			Columns: "key blob, agent text, model text, created int, expires int, size int, tokens int, usd real, truncated bool, sum blob, data blob",
			Writes: []string{`INSERT INTO answers (key, agent, model, created, expires, size, tokens, usd, truncated, sum, data, used)
				VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?4)
				ON CONFLICT (key) DO UPDATE SET agent = excluded.agent, model = excluded.model, created = excluded.created, expires = excluded.expires, size = excluded.size,
					tokens = excluded.tokens, usd = excluded.usd, truncated = excluded.truncated, sum = excluded.sum, data = excluded.data`},
		}),
		sqlitefile.NewTable(sqlitefile.Table{
			Label: "uses of answers", From: "answers", Key: 1, Columns: "key blob, used int", Use: s.use,
			Writes: []string{`UPDATE answers SET used = ?2 WHERE key = ?1`},
		}),
		sqlitefile.NewTable(sqlitefile.Table{
			Label: "sums of answers", From: "totals", Key: 1, Where: "entries + hits + misses > 0", Use: s.use,
			Columns: "id int, entries int, bytes int, hits int, misses int, tokens int, usd real, priced int",
			Writes:  []string{`UPDATE totals SET entries = ?2, bytes = ?3, hits = ?4, misses = ?5, tokens = ?6, usd = ?7, priced = ?8 WHERE id = ?1`},
		}),
	}
}

// use calls do with the connection, within a transaction if that writes.
func (s *Store) use(ctx context.Context, writes bool, do func(*sqlitefile.Conn) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(ctx); err != nil {
		return err
	}
	if !writes {
		if err := do(s.conn); err != nil {
			return fmt.Errorf("reading cache %s: %w", s.path, explain(s.path, err))
		}
		return nil
	}
	if err := s.conn.Write(func() error { return do(s.conn) }); err != nil {
		return fmt.Errorf("writing cache %s: %w", s.path, explain(s.path, err))
	}
	return nil
}
