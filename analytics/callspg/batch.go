package callspg

import (
	"context"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsql"
	"github.com/claude-force/claude-force/analytics/spool"
	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/llm"
)

// batch is a transaction that adds calls. Rows that others may change are locked in this
// order: spools, ids of attempts, projects, names, pace, sums of tools, runs, sums; within each, in the
// order of their keys.
type batch struct {
	s         *Store
	tx        pgx.Tx
	claimed   map[int64]bool // ids of attempts that are of this transaction
	names     map[name]int64
	toolNames map[toolName]int64
	rollups   callsql.Rollups
}

func newBatch(s *Store, tx pgx.Tx) *batch {
	b := &batch{s: s, tx: tx, claimed: map[int64]bool{}, rollups: callsql.Rollups{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	b.names, b.toolNames = maps.Clone(s.names), maps.Clone(s.toolNames)
	return b
}

// clean makes a text one that PostgreSQL can keep.
func clean(texts ...*string) {
	for _, t := range texts {
		*t = postgres.Text(*t)
	}
}

// addOnce adds those calls whose first attempt is not known.
func (b *batch) addOnce(ctx context.Context, calls []analytics.Call) error {
	if err := b.claim(ctx, calls); err != nil {
		return err
	}
	var entries []*spool.Entry
	seen := map[int64]bool{}
	for _, c := range calls {
		if len(c.Tries) > 0 && b.claimed[c.Tries[0].ID] && !seen[c.Tries[0].ID] {
			seen[c.Tries[0].ID] = true
			entries = append(entries, &spool.Entry{Call: c})
		}
	}
	return b.add(ctx, entries)
}

// claim takes the ids of attempts that no call has.
func (b *batch) claim(ctx context.Context, calls []analytics.Call) error {
	times := map[int64]int64{}
	for i := range calls {
		for _, a := range calls[i].Tries {
			if a.ID != 0 && !b.claimed[a.ID] {
				times[a.ID] = calls[i].Time.UnixNano()
			}
		}
	}
	if len(times) == 0 {
		return nil
	}
	ids := slices.Sorted(maps.Keys(times))
	at := make([]int64, len(ids))
	for i, id := range ids {
		at[i] = times[id]
	}
	rows, err := b.tx.Query(ctx, `INSERT INTO call_attempt_ids (id, time) SELECT * FROM unnest($1::bigint[], $2::bigint[]) AS n (id, time) ORDER BY id ON CONFLICT DO NOTHING RETURNING id`, ids, at)
	if err != nil {
		return err
	}
	fresh, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	for _, id := range fresh {
		b.claimed[id] = true
	}
	return err
}

// add adds entries, with what they change.
func (b *batch) add(ctx context.Context, entries []*spool.Entry) error {
	var calls []analytics.Call
	var tools []analytics.ToolCall
	var tasks []analytics.ToolTask
	var sent []*spool.Sent
	for _, e := range entries {
		switch {
		case e.Tool != nil:
			c := *e.Tool
			clean(&c.Project, &c.Workflow, &c.Run, &c.Step, &c.Item, &c.Agent, &c.Tool)
			tools = append(tools, c)
		case e.Task != nil:
			t := *e.Task
			clean(&t.Project, &t.Workflow, &t.Run, &t.Step, &t.Item, &t.Agent, &t.Model)
			tasks = append(tasks, t)
		case e.Sent != nil:
			sent = append(sent, e.Sent)
		default:
			c := e.Call
			c.Tries = slices.Clone(c.Tries)
			callsql.Normalize(&c)
			source := string(c.Source)
			clean(&c.Project, &c.Workflow, &c.Run, &c.Step, &c.Item, &c.Agent, &c.Asked, &c.Model, &source, &c.StopReason, &c.Key, &c.Team)
			c.Source = llm.Source(source)
			for i := range c.Tries {
				basis := string(c.Tries[i].Basis)
				clean(&c.Tries[i].Model, &basis)
				c.Tries[i].Basis = llm.Basis(basis)
			}
			calls = append(calls, c)
		}
	}
	for _, step := range []func() error{
		func() error { return b.claim(ctx, calls) },
		func() error { return b.addSent(ctx, sent) },
		func() error { return b.findNames(ctx, calls, tools, tasks) },
		func() error { return b.estimate(ctx, calls) },
		func() error { return b.copyCalls(ctx, calls) },
		func() error { return b.copyTools(ctx, tools, tasks) },
		func() error { return b.addRuns(ctx, calls) },
		func() error { return b.flushRollups(ctx) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// addSent adds attempts that are being sent.
func (b *batch) addSent(ctx context.Context, list []*spool.Sent) error {
	batch := &pgx.Batch{}
	for _, s := range list {
		if len(s.Call.Tries) > 0 {
			batch.Queue(`INSERT INTO call_sent VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
				s.Call.Tries[0].ID, s.By.Host, s.By.Boot, s.By.PID, s.By.Born, spool.AppendCall(nil, &s.Call))
		}
	}
	if batch.Len() == 0 {
		return nil
	}
	return b.tx.SendBatch(ctx, batch).Close()
}

// estimate fills in how long calls would have taken, and notes how long they did.
func (b *batch) estimate(ctx context.Context, calls []analytics.Call) error {
	type pace struct {
		callsql.Pace
		was callsql.Pace
	}
	known := map[[2]string]*pace{}
	for i := range calls {
		known[[2]string{calls[i].Agent, calls[i].Model}] = &pace{}
	}
	who := slices.SortedFunc(maps.Keys(known), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	agents, models := make([]string, len(who)), make([]string, len(who))
	for i, w := range who {
		agents[i], models[i] = w[0], w[1]
	}
	rows, err := b.tx.Query(ctx, `SELECT agent, model, calls, duration FROM call_pace JOIN unnest($1::text[], $2::text[]) AS n (agent, model) USING (agent, model)`, agents, models)
	if err != nil {
		return err
	}
	var agent, model string
	var p callsql.Pace
	if _, err := pgx.ForEachRow(rows, []any{&agent, &model, &p.Calls, &p.Duration}, func() error {
		*known[[2]string{agent, model}] = pace{p, p}
		return nil
	}); err != nil {
		return err
	}
	for i := range calls {
		if err := callsql.Estimate(&calls[i], func(agent, model string) (*callsql.Pace, error) { return &known[[2]string{agent, model}].Pace, nil }); err != nil {
			return err
		}
	}
	batch := &pgx.Batch{}
	for _, w := range who {
		if p := known[w]; p.Changed {
			batch.Queue(`INSERT INTO call_pace VALUES ($1, $2, $3, $4) ON CONFLICT (agent, model) DO UPDATE SET calls = call_pace.calls + excluded.calls, duration = call_pace.duration + excluded.duration`,
				w[0], w[1], p.Calls-p.was.Calls, p.Duration-p.was.Duration)
		}
	}
	if batch.Len() == 0 {
		return nil
	}
	return b.tx.SendBatch(ctx, batch).Close()
}
