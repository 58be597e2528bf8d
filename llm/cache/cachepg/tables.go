package cachepg

import (
	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/tablecopy"
)

// Tables returns what the store holds, in the order in which it is to be copied.
func (s *Store) Tables() []tablecopy.Table {
	return []tablecopy.Table{
		postgres.NewCopyTable(postgres.CopyTable{
			Label: "answers", From: "cache_answers", Key: 1, DB: s.db,
			Columns: "key blob, agent text, model text, created int, expires int, size int, tokens int, usd real, truncated bool, sum blob, data blob",
		}),
		postgres.NewCopyTable(postgres.CopyTable{Label: "uses of answers", From: "cache_uses", Key: 1, Columns: "key blob, used int", DB: s.db}),
		postgres.NewCopyTable(postgres.CopyTable{
			Label: "sums of answers", Key: 1, Where: "entries + hits + misses > 0", DB: s.db,
			From: `(SELECT 1 AS id, sum(entries)::bigint AS entries, sum(bytes)::bigint AS bytes, sum(hits)::bigint AS hits, sum(misses)::bigint AS misses,
				sum(tokens)::bigint AS tokens, sum(usd) AS usd, sum(priced)::bigint AS priced FROM cache_totals) t`,
			Columns: "id int, entries int, bytes int, hits int, misses int, tokens int, usd real, priced int",
			Writes: []string{`UPDATE cache_totals t SET entries = r.entries * f, bytes = r.bytes * f, hits = r.hits * f, misses = r.misses * f, tokens = r.tokens * f, usd = r.usd * f, priced = r.priced * f
				FROM (SELECT part AS own, (part = 0)::int AS f FROM cache_totals) p, r WHERE p.own = t.part`},
		}),
	}
}
