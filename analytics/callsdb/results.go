package callsdb

import (
	"container/list"
	"context"

	"github.com/claude-force/claude-force/analytics/callsql"
)

// maxResults bounds the results that are kept.
const maxResults = 256

// results are those of queries, as long as no process has written to the file since.
// The one that was not asked for longest goes first.
type results struct {
	at     int64 // the file's version that they are of
	order  *list.List
	byKey  map[any]*list.Element
	hits   int64
	misses int64
}

type result struct{ key, value any }

// CacheStats says how often a question was answered with the result that it had
// given before, since the store was opened. Any write to the file, by whatever
// process, ends all results: also one to the history of runs, if that is in it.
type CacheStats struct {
	Hits    int64   `json:"hits"`
	Misses  int64   `json:"misses"`
	HitRate float64 `json:"hit_rate"`
}

// CacheStats says what keeping results was good for, so far.
func (s *Store) CacheStats() CacheStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := CacheStats{Hits: s.cache.hits, Misses: s.cache.misses}
	if st.Hits+st.Misses > 0 {
		st.HitRate = float64(st.Hits) / float64(st.Hits+st.Misses)
	}
	return st
}

// Read implements [callsql.Database]. The file's version differs after every commit by
// another connection, and the one that reads never writes.
func (s *Store) Read(ctx context.Context, key any, do func(callsql.Query) (any, error)) (value any, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.reading(ctx, func() error {
		query := func(sql string, row func(callsql.Row) error, args ...any) error {
			return s.read.Query(sql, func(r *stmt) error { return row(r) }, args...)
		}
		if key == nil {
			value, err = do(query)
			return err
		}
		_, at, err := s.read.Sum(`PRAGMA data_version`)
		if err != nil {
			return err
		}
		if value = s.cache.get(key, at); value != nil {
			return nil
		}
		if value, err = do(query); err == nil {
			s.cache.put(key, value)
		}
		return err
	})
	return value, err
}

func (r *results) get(key any, at int64) any {
	if r.order == nil || r.at != at {
		r.order, r.byKey, r.at = list.New(), map[any]*list.Element{}, at
	}
	if e := r.byKey[key]; e != nil {
		r.hits++
		r.order.MoveToFront(e)
		return e.Value.(*result).value
	}
	r.misses++
	return nil
}

func (r *results) put(key, value any) {
	r.byKey[key] = r.order.PushFront(&result{key, value})
	if r.order.Len() > maxResults {
		oldest := r.order.Remove(r.order.Back()).(*result)
		delete(r.byKey, oldest.key)
	}
}
