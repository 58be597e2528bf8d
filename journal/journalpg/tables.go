package journalpg

import (
	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/tablecopy"
)

// released are the expressions of a run as it is once its owner, which is dead, has
// released it.
var released = map[string]string{
	"id":         `j.id`,
	"started_by": `coalesce(j.started_by, '')`,
	"status":     `CASE WHEN j.token IS NOT NULL AND j.status IN ('running', 'waiting') THEN 'interrupted' ELSE j.status END`,
	"finished": `CASE WHEN j.token IS NOT NULL AND j.status IN ('running', 'waiting')
		THEN coalesce(floor(extract(epoch FROM w.seen) * 1000)::bigint * 1000000, j.since) ELSE j.finished END`,
}

// Tables returns what the store holds, in the order in which it is to be copied. No run
// may be owned by an engine, or a process that lives.
func (s *Store) Tables() []tablecopy.Table {
	return []tablecopy.Table{
		postgres.NewCopyTable(postgres.CopyTable{
			Label: "outputs", From: "journal_outputs", Key: 1, Columns: "hash blob, data blob", DB: s.db,
			Writes: []string{`INSERT INTO journal_outputs (hash, data, refs) SELECT hash, data, 0 FROM r ON CONFLICT (hash) DO UPDATE SET data = excluded.data`},
		}),
		postgres.NewCopyTable(postgres.CopyTable{
			Label: "runs", From: "journal_runs j LEFT JOIN journal_writers w ON w.id = j.writer", Key: 1, Exprs: released, DB: s.db,
			Columns: "n int, id text, workflow blob, file blob, spec blob, status text, started int, finished int, steps int, usd real, tokens int, seq int, exit blob, engine text, started_by text",
			Writes: []string{`INSERT INTO journal_runs (n, id, workflow, file, spec, status, started, finished, steps, usd, tokens, seq, exit, engine, started_by, since) OVERRIDING SYSTEM VALUE
				SELECT n, id, workflow, file, spec, status, started, finished, steps, usd, tokens, seq, exit, engine, nullif(started_by, ''), 0 FROM r
				ON CONFLICT (n) DO UPDATE SET id = excluded.id, workflow = excluded.workflow, file = excluded.file, spec = excluded.spec, status = excluded.status,
					started = excluded.started, finished = excluded.finished, steps = excluded.steps, usd = excluded.usd, tokens = excluded.tokens, seq = excluded.seq, exit = excluded.exit, engine = excluded.engine, started_by = excluded.started_by`},
			Finishes: []string{`SELECT setval(pg_get_serial_sequence('journal_runs', 'n'), max(n)) FROM journal_runs HAVING max(n) > 0`},
		}),
		postgres.NewCopyTable(postgres.CopyTable{
			Label: "events", From: "journal_events", Key: 2, DB: s.db,
			Columns: "run int, seq int, time int, type text, step blob, item blob, attempt int, key blob, output blob, detail blob",
			Finishes: []string{`UPDATE journal_outputs o SET refs = c.refs
				FROM (SELECT output, count(*) AS refs FROM journal_events WHERE output IS NOT NULL GROUP BY output) c WHERE c.output = o.hash AND c.refs <> o.refs`},
		}),
		postgres.NewCopyTable(postgres.CopyTable{Label: "notices", From: "journal_notices", Key: 1, Columns: "n int, run int, seq int", DB: s.db}),
		postgres.NewCopyTable(postgres.LastNumber("last notice", "journal_last_notice", s.db)),
	}
}
