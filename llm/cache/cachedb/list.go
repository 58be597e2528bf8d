package cachedb

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/cache"
	"github.com/claude-force/claude-force/llm/cache/sealed"
)

// where returns the condition for the answers that a filter chooses, and its values.
func where(f cache.Filter, now time.Time) (string, []any) {
	sql, args := "created <= ?", []any{now.Add(-f.OlderThan).UnixNano()}
	if f.OlderThan == 0 {
		args[0] = int64(math.MaxInt64)
	}
	if f.Agent != "" {
		sql += " AND agent = ?"
		args = append(args, f.Agent)
	}
	return sql, args
}

// List yields answers, the newest first, those that have expired included. It
// reads page by page, so the store may be used meanwhile.
func (s *Store) List(ctx context.Context, f cache.Filter) iter.Seq2[*cache.Entry, error] {
	return func(yield func(*cache.Entry, error) bool) {
		cond, args := where(f, time.Now())
		created, id := int64(math.MaxInt64), int64(math.MaxInt64)
		for {
			page, err := s.page(ctx, cond+" AND (created, id) < (?, ?) ORDER BY created DESC, id DESC LIMIT 100", append(slices.Clip(args), created, id))
			if err != nil {
				yield(nil, err)
				return
			}
			for _, row := range page {
				if !yield(row.entry, nil) {
					return
				}
				created, id = row.created, row.id
			}
			if len(page) == 0 {
				return
			}
		}
	}
}

type pageRow struct {
	entry       *cache.Entry
	created, id int64
}

// page reads rows that are not damaged.
func (s *Store) page(ctx context.Context, where string, args []any) (page []pageRow, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("reading cache %s: %w", s.path, explain(s.path, err))
		}
	}()
	err = s.conn.Query(`SELECT agent, model, created, expires, truncated, usd, tokens, sum, data, key, id FROM answers WHERE `+where, func(row *sqlite3.Stmt) error {
		var key llm.Key
		copy(key[:], row.ColumnRawBlob(9))
		e, err := s.entry(key, row)
		if errors.Is(err, sealed.ErrDamaged) {
			e = sealed.Damaged(&cache.Entry{Key: key, Agent: row.ColumnText(0), Model: row.ColumnText(1), CreatedAt: time.Unix(0, row.ColumnInt64(2)).UTC()})
		}
		page = append(page, pageRow{e, row.ColumnInt64(2), row.ColumnInt64(10)})
		return nil
	}, args...)
	return page, err
}

// Show returns the one answer whose key begins with prefix. See [cache.Backend].
func (s *Store) Show(ctx context.Context, prefix string) (*cache.Entry, error) {
	low, high, err := cache.KeyRange(prefix)
	if err != nil {
		return nil, err
	}
	page, err := s.page(ctx, "key BETWEEN ? AND ? LIMIT 2", []any{low[:], high[:]})
	if err != nil {
		return nil, err
	}
	found := make([]*cache.Entry, len(page))
	for i := range page {
		found[i] = page[i].entry
	}
	return cache.OnlyOne(prefix, found)
}

// Clear removes answers and says how many, and the bytes they counted for.
func (s *Store) Clear(ctx context.Context, f cache.Filter) (n int, bytes int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(ctx); err != nil {
		return 0, 0, err
	}
	cond, args := where(f, time.Now())
	if err := s.forgetRecent(); err != nil {
		return 0, 0, fmt.Errorf("clearing cache %s: %w", s.path, explain(s.path, err))
	}
	err = s.conn.Write(func() error {
		count, size, err := s.conn.Sum(`DELETE FROM answers WHERE `+cond+` RETURNING size`, args...)
		if err != nil {
			return err
		}
		n, bytes = int(count), size
		return s.conn.Run(`UPDATE totals SET entries = entries - ?, bytes = bytes - ?`, count, size)
	})
	if err == nil {
		err = s.conn.Exec(`PRAGMA incremental_vacuum`) // gives the space back
	}
	if err != nil {
		return 0, 0, fmt.Errorf("clearing cache %s: %w", s.path, explain(s.path, err))
	}
	return n, bytes, nil
}
