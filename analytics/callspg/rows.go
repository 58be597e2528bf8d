package callspg

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/analytics"
)

// ids returns so many ids for rows.
func (b *batch) ids(ctx context.Context, n int) ([]int64, error) {
	rows, err := b.tx.Query(ctx, `SELECT nextval('call_ids') FROM generate_series(1, $1)`, n)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

var (
	callColumns = []string{
		"id", "time", "name", "run", "step", "item", "input", "output", "cache_read", "cache_write_5m", "cache_write_1h", "searches",
		"unpriced", "cost", "saved_cache", "saved_coalesced", "saved_prompt", "saved_batch", "saved_model", "duration", "first_token", "alone", "attempts", "code", "stop",
		"service", "waited", "batch", "refused", "uncertain",
	}
	attemptColumns = []string{
		"call_time", "call", "number", "time", "duration", "first_token", "model", "code", "basis", "cost", "input", "output", "cache_read", "cache_write_5m", "cache_write_1h", "searches",
		"write_extra", "id", "uncertain",
	}
)

func one(is bool) int64 {
	if is {
		return 1
	}
	return 0
}

// copyCalls copies calls and their attempts in.
func (b *batch) copyCalls(ctx context.Context, calls []analytics.Call) error {
	if len(calls) == 0 {
		return nil
	}
	ids, err := b.ids(ctx, len(calls))
	if err != nil {
		return err
	}
	rows := make([][]any, len(calls))
	var attempts [][]any
	var done []int64
	for i := range calls {
		c := &calls[i]
		u, at := c.Usage, c.Time.UnixNano()
		rows[i] = []any{
			ids[i], at, b.names[nameOf(c)], c.Run, c.Step, c.Item, int64(u.InputTokens), int64(u.OutputTokens), int64(u.CacheReadTokens), int64(u.CacheWrite5m), int64(u.CacheWrite1h), int64(u.WebSearches),
			one(c.Unpriced), int64(c.Cost), int64(c.Saved.Cache), int64(c.Saved.Coalesced), int64(c.Saved.Prompt), int64(c.Saved.Batch), int64(c.Saved.Model),
			int64(c.Duration), int64(c.FirstToken), int64(c.Alone), int64(c.Attempts), int64(c.Code), c.StopReason,
			int64(c.Service), int64(c.Waited), one(u.Batch), int64(c.Refused), int64(c.Uncertain),
		}
		for n, a := range c.Tries {
			u, id := a.Usage, a.ID
			if id != 0 {
				done = append(done, id)
			}
			if !b.claimed[id] {
				id = 0 // its process was taken for dead, and was not
			}
			delete(b.claimed, id)
			attempts = append(attempts, []any{
				at, ids[i], int64(n + 1), a.Start.UnixNano(), int64(a.Duration), int64(a.FirstToken), a.Model, int64(a.Code), string(a.Basis), int64(a.Cost),
				int64(u.InputTokens), int64(u.OutputTokens), int64(u.CacheReadTokens), int64(u.CacheWrite5m), int64(u.CacheWrite1h), int64(u.WebSearches), int64(a.WriteExtra), id, int64(a.Uncertain),
			})
		}
		b.rollups.AddCall(c)
	}
	if _, err := b.tx.CopyFrom(ctx, pgx.Identifier{"call_rows"}, callColumns, pgx.CopyFromRows(rows)); err != nil {
		return err
	}
	if len(attempts) == 0 {
		return nil
	}
	if _, err := b.tx.CopyFrom(ctx, pgx.Identifier{"call_attempts"}, attemptColumns, pgx.CopyFromRows(attempts)); err != nil || len(done) == 0 {
		return err
	}
	_, err = b.tx.Exec(ctx, `DELETE FROM call_sent WHERE id = ANY($1)`, done)
	return err
}
