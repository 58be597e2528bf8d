package callsdb

import (
	"context"
	"errors"
	"math"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsql"
	"github.com/claude-force/claude-force/analytics/spool"
	"github.com/claude-force/claude-force/llm"
)

// maxBatch is how many calls one transaction adds, so that it stays short.
const maxBatch = spool.MaxBatch

// name is who made a call, a row of call_names.
type name struct {
	project, workflow, agent, asked, model string
	source                                 llm.Source
	key, team                              string
}

// Add adds calls, with those that wait in the spool file. When it returns they
// are durable.
func (s *Store) Add(ctx context.Context, calls ...analytics.Call) error {
	return s.addAll(ctx, spool.Calls(calls))
}

func (s *Store) addAll(ctx context.Context, list []spool.Entry) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return s.add(list)
}

// Take adds the calls that wait in the spool file.
func (s *Store) Take(ctx context.Context) error { return s.Add(ctx) }

// AddEntries adds what was recorded, with those that wait in the spool file.
func (s *Store) AddEntries(list []spool.Entry) error { return s.add(list) }

func (s *Store) add(list []spool.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var taken *spool.Contents
	waiting := s.spool.Size() > 0
	for waiting || len(list) > 0 {
		n := min(len(list), maxBatch)
		err := s.writing(func() (err error) {
			b := s.batch()
			if waiting {
				if taken, err = b.take(); err != nil {
					return err
				}
			}
			return b.commit(list[:n])
		})
		if err != nil {
			return err
		}
		waiting, list = false, list[n:]
	}
	if taken != nil {
		// What was taken is noted, so that it stays costs room only.
		_ = s.spool.Empty(taken)
	}
	return nil
}

// batch is a transaction that adds calls: what it changes beside the rows, each
// read and written once.
type batch struct {
	*Store
	pace    map[[2]string]*callsql.Pace
	runs    map[string]*runRow
	rollups callsql.Rollups
}

func (s *Store) batch() *batch {
	return &batch{Store: s, pace: map[[2]string]*callsql.Pace{}, runs: map[string]*runRow{}, rollups: callsql.Rollups{}}
}

func (b *batch) commit(list []spool.Entry) error {
	for i := range list {
		if err := b.insertEntry(&list[i]); err != nil {
			return err
		}
	}
	for who, p := range b.pace {
		if p.Changed {
			if err := b.write.Run(`INSERT INTO call_pace (agent, model, calls, duration) VALUES (?, ?, ?, ?)
				ON CONFLICT (agent, model) DO UPDATE SET calls = excluded.calls, duration = excluded.duration`, who[0], who[1], p.Calls, p.Duration); err != nil {
				return err
			}
		}
	}
	if err := b.flushRuns(); err != nil {
		return err
	}
	return b.flushRollups()
}

func (b *batch) insertEntry(e *spool.Entry) error {
	switch {
	case e.Tool != nil:
		return b.insertTool(e.Tool)
	case e.Task != nil:
		return b.insertTask(e.Task)
	case e.Sent != nil:
		return b.insertSent(e.Sent)
	}
	return b.insert(e.Call)
}

// insert adds a row and remembers what it changes.
func (b *batch) insert(c analytics.Call) error {
	callsql.Normalize(&c)
	if err := callsql.Estimate(&c, b.paceOf); err != nil {
		return err
	}
	id, err := b.name(name{c.Project, c.Workflow, c.Agent, c.Asked, c.Model, c.Source, c.Key, c.Team})
	if err != nil {
		return err
	}
	u := c.Usage
	err = b.write.Run(`INSERT INTO call_rows (time, name, run, step, item, input, output, cache_read, cache_write_5m, cache_write_1h, searches,
		unpriced, cost, saved_cache, saved_coalesced, saved_prompt, saved_batch, saved_model, duration, first_token, alone, attempts, code, stop, service, waited, batch, refused, uncertain)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		c.Time.UnixNano(), id, c.Run, c.Step, c.Item, u.InputTokens, u.OutputTokens, u.CacheReadTokens, u.CacheWrite5m, u.CacheWrite1h, u.WebSearches,
		c.Unpriced, int64(c.Cost), int64(c.Saved.Cache), int64(c.Saved.Coalesced), int64(c.Saved.Prompt), int64(c.Saved.Batch), int64(c.Saved.Model),
		int64(c.Duration), int64(c.FirstToken), int64(c.Alone), c.Attempts, int(c.Code), c.StopReason,
		int64(c.Service), int64(c.Waited), batched(u), c.Refused, int64(c.Uncertain))
	if err != nil {
		return err
	}
	if err := b.attempts(b.write.LastInsertRowID(), c.Tries); err != nil {
		return err
	}
	b.rollups.AddCall(&c)
	if c.Run == "" {
		return nil
	}
	return b.run(&c)
}

// attempts adds the attempts of a call.
func (b *batch) attempts(call int64, tries []analytics.Attempt) error {
	for i, a := range tries {
		u := a.Usage
		insert := func(id int64) error {
			return b.write.Run(`INSERT INTO call_attempts (call, number, time, duration, first_token, model, code, basis, cost, input, output, cache_read, cache_write_5m, cache_write_1h, searches, write_extra, id, uncertain) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
				call, i+1, a.Start.UnixNano(), int64(a.Duration), int64(a.FirstToken), a.Model, int(a.Code), string(a.Basis), int64(a.Cost),
				u.InputTokens, u.OutputTokens, u.CacheReadTokens, u.CacheWrite5m, u.CacheWrite1h, u.WebSearches, int64(a.WriteExtra), id, int64(a.Uncertain))
		}
		err := insert(a.ID)
		if errors.Is(err, sqlite3.CONSTRAINT_UNIQUE) {
			err = insert(0) // its process was taken for dead, and was not
		}
		if err != nil {
			return err
		}
		if a.ID == 0 {
			continue
		}
		if err := b.write.Run(`DELETE FROM call_sent WHERE id = ?`, a.ID); err != nil {
			return err
		}
	}
	return nil
}

// paceOf returns how long the service takes an agent's model.
func (b *batch) paceOf(agent, model string) (*callsql.Pace, error) {
	who := [2]string{agent, model}
	p := b.pace[who]
	if p != nil {
		return p, nil
	}
	p = &callsql.Pace{}
	b.pace[who] = p
	return p, b.write.Query(`SELECT calls, duration FROM call_pace WHERE agent = ? AND model = ?`, func(row *stmt) error {
		p.Calls, p.Duration = row.ColumnInt64(0), row.ColumnInt64(1)
		return nil
	}, agent, model)
}

// batched returns 1 for usage of a batch.
func batched(u llm.Usage) int64 {
	if u.Batch {
		return 1
	}
	return 0
}

// name returns the id of a row of call_names, which it makes if there is none.
func (b *batch) name(n name) (id int64, err error) {
	if id, ok := b.names[n]; ok {
		return id, nil
	}
	args := []any{n.project, n.workflow, n.agent, n.asked, n.model, string(n.source), n.key, n.team}
	find := func() error {
		return b.write.Query(`SELECT id FROM call_names WHERE project = ? AND workflow = ? AND agent = ? AND asked = ? AND model = ? AND source = ? AND key = ? AND team = ?`, func(row *stmt) error {
			id = row.ColumnInt64(0)
			return nil
		}, args...)
	}
	if err = find(); err == nil && id == 0 {
		if err = b.write.Run(`INSERT INTO call_names (project, workflow, agent, asked, model, source, key, team) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, args...); err == nil {
			id = b.write.LastInsertRowID()
			err = b.project(n.project)
		}
	}
	if err == nil {
		b.names[n] = id
	}
	return id, err
}

// runRow is a row of call_runs, before and after the batch.
type runRow struct {
	known             bool
	project, workflow string
	was, now          callsql.RunFigures
}

// run adds a call to its run.
func (b *batch) run(c *analytics.Call) error {
	r := b.runs[c.Run]
	if r == nil {
		r = &runRow{project: c.Project, workflow: c.Workflow}
		err := b.write.Query(`SELECT project, workflow, began, ended, calls, cost, alone FROM call_runs WHERE id = ?`, func(row *stmt) error {
			r.known, r.project, r.workflow = true, row.ColumnText(0), row.ColumnText(1)
			r.was = callsql.RunFigures{Began: row.ColumnInt64(2), Ended: row.ColumnInt64(3), Calls: row.ColumnInt64(4), Cost: row.ColumnInt64(5), Alone: row.ColumnInt64(6)}
			return nil
		}, c.Run)
		if err != nil {
			return err
		}
		r.now = r.was
		b.runs[c.Run] = r
	}
	r.now.Add(c)
	return nil
}

// take adds what the spool file holds and was not added yet. The transaction
// keeps other readers away.
func (b *batch) take() (*spool.Contents, error) {
	held, err := b.spool.Read(func(id []byte) (from int64, err error) {
		from = spool.Start
		err = b.write.Query(`SELECT taken FROM call_state WHERE spool = ?`, func(row *stmt) error {
			from = row.ColumnInt64(0)
			return nil
		}, id)
		return from, err
	}, math.MaxInt64)
	if err != nil || held == nil {
		return nil, err
	}
	for e := range held.Entries() {
		if err := b.insertEntry(e); err != nil {
			return nil, err
		}
	}
	return held, b.write.Run(`UPDATE call_state SET spool = ?, taken = ?`, held.ID, held.Size)
}

// flushRuns writes the runs, and moves their figures in the sums: a run counts
// where its first call began.
func (b *batch) flushRuns() error {
	for id, r := range b.runs {
		if err := b.write.Run(`INSERT INTO call_runs (id, project, workflow, began, ended, calls, cost, alone) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET project = excluded.project, workflow = excluded.workflow, began = excluded.began, ended = excluded.ended,
			calls = excluded.calls, cost = excluded.cost, alone = excluded.alone`,
			id, r.project, r.workflow, r.now.Began, r.now.Ended, r.now.Calls, r.now.Cost, r.now.Alone); err != nil {
			return err
		}
		if r.known {
			b.rollups.AddRun(r.project, r.workflow, r.was, -1)
		}
		b.rollups.AddRun(r.project, r.workflow, r.now, 1)
	}
	return nil
}
