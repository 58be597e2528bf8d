package journaldb

import (
	"bytes"
	"context"
	"fmt"

	"github.com/claude-force/claude-force/internal/sqlitefile"
	"github.com/claude-force/claude-force/internal/tablecopy"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journalrow"
)

// released are the expressions of a run as it is once its owner, which is dead, has
// released it.
var released = map[string]string{
	"status":     `CASE WHEN token IS NOT NULL AND status IN ('running', 'waiting') THEN 'interrupted' ELSE status END`,
	"engine":     `coalesce(engine, '')`,
	"started_by": `coalesce(started_by, '')`,
	"finished":   `CASE WHEN token IS NOT NULL AND status IN ('running', 'waiting') THEN heartbeat ELSE coalesce(finished, 0) END`,
}

// Tables returns what the store holds, in the order in which it is to be copied. No run
// may be owned by an engine, or a process that lives. What is read has the right
// checksums, but for the headers of runs, which [Store.Runs] checks.
func (s *Store) Tables() []tablecopy.Table {
	runs := map[int64]string{} // ids by number, of those whose events were written last
	return []tablecopy.Table{
		sqlitefile.NewTable(sqlitefile.Table{Label: "outputs", From: "outputs", Key: 1, Columns: "hash blob, data blob", Use: s.use}),
		sqlitefile.NewTable(sqlitefile.Table{
			Label: "runs", From: "runs", Key: 1, Exprs: released, Use: s.use,
			Columns: "n int, id text, workflow blob, file blob, spec blob, status text, started int, finished int, steps int, usd real, tokens int, seq int, exit blob, engine text, started_by text",
			Checked: "spec_sum", Check: checkSpec, Extra: runSums,
			Writes: []string{`INSERT INTO runs (n, id, workflow, file, spec, status, started, finished, steps, usd, tokens, seq, exit, engine, started_by, spec_sum, sum)
				VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, nullif(?8, 0), ?9, ?10, ?11, ?12, ?13, nullif(?14, ''), nullif(?15, ''), ?16, ?17)
				ON CONFLICT (n) DO UPDATE SET id = excluded.id, workflow = excluded.workflow, file = excluded.file, spec = excluded.spec, status = excluded.status,
					started = excluded.started, finished = excluded.finished, steps = excluded.steps, usd = excluded.usd, tokens = excluded.tokens, seq = excluded.seq,
					exit = excluded.exit, engine = excluded.engine, started_by = excluded.started_by, spec_sum = excluded.spec_sum, sum = excluded.sum`},
		}),
		sqlitefile.NewTable(sqlitefile.Table{
			Label: "events", From: `events e CROSS JOIN runs r ON r.n = e.id >> 32 LEFT JOIN outputs o ON o.n = e.output`, Key: 2, Use: s.use,
			Columns: "run int, seq int, time int, type text, step text, item text, attempt int, key blob, output blob, detail blob",
			Exprs: map[string]string{
				"run": "e.id >> 32", "seq": "e.id & 0xffffffff", "time": "e.time", "type": "e.type", "step": "e.step", "item": "e.item",
				"attempt": "e.attempt", "key": "e.key", "output": "o.hash", "detail": "e.detail",
			},
			After: "e.id > (?1 << 32 | ?2)", Order: "e.id",
			Checked: "e.sum, r.id",
			Check: func(row, checked []any) error {
				sum, _ := checked[0].([]byte)
				run, _ := checked[1].([]byte)
				if !bytes.Equal(eventSum(string(run), row), sum) {
					return fmt.Errorf("event %d of run %s: %w", row[1], run, errDamaged)
				}
				return nil
			},
			Extra: func(c *sqlitefile.Conn, row []any) ([]any, error) {
				n, _ := row[0].(int64)
				if runs[n] == "" {
					clear(runs)
					if err := c.Query(`SELECT id FROM runs WHERE n = ?`, func(r *stmt) error {
						runs[n] = r.ColumnText(0)
						return nil
					}, n); err != nil {
						return nil, err
					}
				}
				return []any{eventSum(runs[n], row)}, nil
			},
			Writes: []string{`INSERT INTO events (id, time, type, step, item, attempt, key, output, detail, sum)
				VALUES (?1 << 32 | ?2, ?3, ?4, ?5, ?6, ?7, ?8, (SELECT n FROM outputs WHERE hash = ?9), ?10, ?11)
				ON CONFLICT (id) DO UPDATE SET time = excluded.time, type = excluded.type, step = excluded.step, item = excluded.item, attempt = excluded.attempt,
					key = excluded.key, output = excluded.output, detail = excluded.detail, sum = excluded.sum`},
		}),
		sqlitefile.NewTable(sqlitefile.Table{
			Label: "notices", From: "notices", Key: 1, Columns: "n int, run int, seq int", Use: s.use,
			Exprs:  map[string]string{"run": "event >> 32", "seq": "event & 0xffffffff"},
			Writes: []string{`INSERT INTO notices (n, event) VALUES (?1, ?2 << 32 | ?3) ON CONFLICT (n) DO UPDATE SET event = excluded.event`},
		}),
		sqlitefile.NewTable(sqlitefile.LastNumber("last notice", "notices", s.use)),
	}
}

// use calls do with a connection, within a transaction if that writes.
func (s *Store) use(ctx context.Context, writes bool, do func(*sqlitefile.Conn) error) error {
	if writes {
		return s.write(func(b *batch) (verdict, err error) { return nil, do(b.conn) })
	}
	return s.reading(ctx, func() error { return do(s.read) })
}

// specSum returns the checksum of a run's spec.
func specSum(id string, spec []byte) []byte {
	var d digest
	d.texts(id)
	d.blobs(spec)
	return d.sum()
}

// checkSpec compares the spec in a row of runs with its checksum.
func checkSpec(row, checked []any) error {
	id, _ := row[1].([]byte)
	sum, _ := checked[0].([]byte)
	if spec, ok := row[4].([]byte); ok && !bytes.Equal(specSum(string(id), spec), sum) {
		return fmt.Errorf("run %s: %w", id, errDamaged)
	}
	return nil
}

// runSums returns the checksums of a row of runs: of its spec, and of the others.
func runSums(_ *sqlitefile.Conn, row []any) ([]any, error) {
	text := func(i int) []byte { b, _ := row[i].([]byte); return b }
	number := func(i int) int64 { n, _ := row[i].(int64); return n }
	h := header{Header: journalrow.Header{
		ID: string(text(1)), Workflow: text(2), File: text(3), Status: journal.Status(text(5)), Started: number(6), Finished: number(7),
		Steps: number(8), Tokens: number(10), Seq: number(11), Exit: text(12), Engine: string(text(13)), StartedBy: string(text(14)),
	}}
	h.USD, _ = row[9].(float64)
	var spec any
	if row[4] != nil {
		spec = specSum(h.ID, text(4))
	}
	return []any{spec, h.sum()}, nil
}

// eventSum returns the checksum of a row of events of a run.
func eventSum(run string, row []any) []byte {
	text := func(i int) []byte { b, _ := row[i].([]byte); return b }
	number := func(i int) int64 { n, _ := row[i].(int64); return n }
	ev := &journal.Event{Run: run, Type: journal.EventType(text(3)), Step: string(text(4)), Item: string(text(5)), Attempt: int(number(6))}
	copy(ev.Key[:], text(7))
	return numbered(checksum(&journalrow.Event{Event: ev, Time: number(2), Hash: text(8), Detail: text(9)}), number(1))
}
