package cachedb

import (
	"time"

	"github.com/claude-force/claude-force/llm"
)

// remove removes a row, if there is one.
func (s *Store) remove(key llm.Key) error {
	return s.drop(`DELETE FROM answers WHERE key = ? RETURNING size`, key[:])
}

// drop runs a DELETE that returns sizes, and keeps the totals right.
func (s *Store) drop(sql string, args ...any) error {
	n, bytes, err := s.conn.Sum(sql, args...)
	if err != nil || n == 0 {
		return err
	}
	return s.conn.Run(`UPDATE totals SET entries = entries - ?, bytes = bytes - ?`, n, bytes)
}

// evict removes what has expired and, while the store is too large, what was
// not used for longest. bytes are those of the store.
func (s *Store) evict(now time.Time, bytes int64) error {
	const batch = 64 // bounds the transaction; the rest is for the next ones
	err := s.drop(`DELETE FROM answers WHERE id IN (SELECT id FROM answers WHERE expires <= ? LIMIT ?) RETURNING size`, now.UnixNano(), batch)
	if err != nil || bytes <= s.max {
		return err
	}
	for {
		if _, bytes, err = s.conn.Sum(`SELECT bytes FROM totals`); err != nil || bytes <= s.max {
			return err
		}
		// The oldest use whose removal, with all older ones, is enough.
		n, _, err := s.conn.Sum(`SELECT 1 FROM answers LIMIT 1`)
		if err != nil || n == 0 {
			return err
		}
		err = s.drop(`DELETE FROM answers WHERE id IN (
			SELECT id FROM (SELECT id, sum(size) OVER (ORDER BY used, id ROWS UNBOUNDED PRECEDING) - size AS before
				FROM (SELECT id, size, used FROM answers ORDER BY used, id LIMIT ?)) WHERE before < ?) RETURNING size`, batch, bytes-s.max)
		if err != nil {
			return err
		}
	}
}
