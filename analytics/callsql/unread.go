package callsql

import (
	"context"
	"time"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/llm"
)

// unreadKey is a query as the cache knows it.
type unreadKey struct{ filter analytics.Filter }

// readsAfter is how long after a period reads of what was written in it are looked
// for. The service keeps entries for an hour at most; an attempt may take longer
// to be recorded.
const readsAfter = 2 * time.Hour

// Unread returns which writes of a period to the prompt cache nothing has read, by
// the records of attempts, so as far back as calls are kept one by one.
func (r *Reader) Unread(ctx context.Context, f analytics.Filter) (analytics.UnreadWrites, error) {
	return cached(ctx, r, unreadKey{f}, func(s *state) (sum analytics.UnreadWrites, err error) {
		since, until := never, always
		if !f.Since.IsZero() {
			since = f.Since.UnixNano()
		}
		if !f.Until.IsZero() {
			until = f.Until.UnixNano()
		}
		var uses []analytics.CacheUse
		var counts []bool
		err = s.query(`SELECT a.time, n.agent, a.model, a.cache_read, a.cache_write_5m + a.cache_write_1h, a.write_extra, n.project
			FROM call_attempts a `+s.dialect.Join+` call_rows r ON `+s.dialect.Attempts+` `+s.dialect.Join+` call_names n ON n.id = r.name
			WHERE a.cache_read + a.cache_write_5m + a.cache_write_1h > 0 AND a.time >= ? AND a.time < ? ORDER BY a.time, a.call, a.number`, func(row Row) error {
			at := row.ColumnInt64(0)
			uses = append(uses, analytics.CacheUse{
				Start: time.Unix(0, at), Agent: row.ColumnText(1), Model: row.ColumnText(2), Read: row.ColumnInt(3), Written: row.ColumnInt(4), Extra: llm.Money(row.ColumnInt64(5)),
			})
			counts = append(counts, at < until && (f.Project == "" || f.Project == row.ColumnText(6)))
			return nil
		}, since, min(until, always-int64(readsAfter))+int64(readsAfter))
		if err != nil {
			return sum, err
		}
		analytics.MatchReads(uses)
		for i := range uses {
			if !counts[i] || uses[i].Written == 0 {
				continue
			}
			sum.Writes++
			sum.Written = sum.Written.Add(uses[i].Extra)
			if tokens, cost := uses[i].Unread(); tokens > 0 {
				sum.Unread++
				sum.Tokens += tokens
				sum.Cost = sum.Cost.Add(cost)
			}
		}
		return sum, nil
	})
}
