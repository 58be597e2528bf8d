package callsdb

import (
	"context"
	"errors"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/llm"
)

// maxBatch is how many calls one transaction adds, so that it stays short.
const maxBatch = 1000

// name is who made a call, a row of call_names.
type name struct {
	project, workflow, agent, asked, model string
	source                                 llm.Source
	key, team                              string
}

// Add adds calls, with those that wait in the spool file. When it returns they
// are durable.
func (s *Store) Add(ctx context.Context, calls ...analytics.Call) error {
	return s.addAll(ctx, entries(calls))
}

func (s *Store) addAll(ctx context.Context, list []entry) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return s.add(list)
}

// Take adds the calls that wait in the spool file.
func (s *Store) Take(ctx context.Context) error { return s.Add(ctx) }

func (s *Store) add(list []entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var taken *spooled
	waiting := spoolSize(s.path) > 0
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
		_ = truncateSpool(s.path, taken)
	}
	return nil
}

// batch is a transaction that adds calls: what it changes beside the rows, each
// read and written once.
type batch struct {
	*Store
	pace    map[[2]string]*pace
	runs    map[string]*runRow
	rollups map[rollupKey]*analytics.Totals
}

type pace struct {
	calls, duration int64
	changed         bool
}

func (s *Store) batch() *batch {
	return &batch{Store: s, pace: map[[2]string]*pace{}, runs: map[string]*runRow{}, rollups: map[rollupKey]*analytics.Totals{}}
}

func (b *batch) commit(list []entry) error {
	for i := range list {
		if err := b.insertEntry(&list[i]); err != nil {
			return err
		}
	}
	for who, p := range b.pace {
		if p.changed {
			if err := b.write.Run(`INSERT OR REPLACE INTO call_pace VALUES (?, ?, ?, ?)`, who[0], who[1], p.calls, p.duration); err != nil {
				return err
			}
		}
	}
	if err := b.flushRuns(); err != nil {
		return err
	}
	return b.flushRollups()
}

func (b *batch) insertEntry(e *entry) error {
	switch {
	case e.tool != nil:
		return b.insertTool(e.tool)
	case e.task != nil:
		return b.insertTask(e.task)
	case e.sent != nil:
		return b.insertSent(e.sent)
	}
	return b.insert(e.call)
}

// insert adds a row and remembers what it changes.
func (b *batch) insert(c analytics.Call) error {
	if c.Model == "" {
		c.Model = c.Asked
	}
	for _, d := range [...]*time.Duration{&c.Duration, &c.Service, &c.Waited, &c.FirstToken} {
		*d = max(*d, 0) // a clock was set back
	}
	c.Refused = max(c.Refused, c.CountRefused())
	if len(c.Tries) > 0 {
		c.Uncertain = 0
		for i := range c.Tries {
			c.Uncertain = c.Uncertain.Add(c.Tries[i].Uncertain)
		}
	}
	if err := b.estimate(&c); err != nil {
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
	b.roll(&c)
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
			return b.write.Run(`INSERT INTO call_attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
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

// estimate fills in how long the service would have taken by itself: as long as
// it took, without waiting, and where it did not answer at once, as long as it
// takes this agent on average. In a batch it is 0 if that average is unknown.
func (b *batch) estimate(c *analytics.Call) error {
	if c.Alone != 0 {
		return nil
	}
	switch {
	case c.Served():
		c.Alone = c.Service
	case c.Usage.Batch:
	default:
		c.Alone = max(c.Duration-c.Waited, 0)
	}
	if !c.Live() && (c.Code != 0 || c.Source == "") {
		return nil
	}
	who := [2]string{c.Agent, c.Model}
	p := b.pace[who]
	if p == nil {
		p = &pace{}
		b.pace[who] = p
		err := b.write.Query(`SELECT calls, duration FROM call_pace WHERE agent = ? AND model = ?`, func(row *stmt) error {
			p.calls, p.duration = row.ColumnInt64(0), row.ColumnInt64(1)
			return nil
		}, who[0], who[1])
		if err != nil {
			return err
		}
	}
	if c.Live() && !c.Usage.Batch {
		p.calls++
		p.duration += int64(c.Alone)
		p.changed = true
	} else if p.calls > 0 && (!c.Live() || c.Usage.Batch) {
		c.Alone = time.Duration(p.duration / p.calls)
	}
	return nil
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
	was, now          runFigures
}

type runFigures struct{ began, ended, calls, cost, alone int64 }

// run adds a call to its run.
func (b *batch) run(c *analytics.Call) error {
	r := b.runs[c.Run]
	if r == nil {
		r = &runRow{project: c.Project, workflow: c.Workflow}
		err := b.write.Query(`SELECT project, workflow, began, ended, calls, cost, alone FROM call_runs WHERE id = ?`, func(row *stmt) error {
			r.known, r.project, r.workflow = true, row.ColumnText(0), row.ColumnText(1)
			r.was = runFigures{row.ColumnInt64(2), row.ColumnInt64(3), row.ColumnInt64(4), row.ColumnInt64(5), row.ColumnInt64(6)}
			return nil
		}, c.Run)
		if err != nil {
			return err
		}
		r.now = r.was
		b.runs[c.Run] = r
	}
	began, ended := c.Time.UnixNano(), c.Time.Add(c.Duration).UnixNano()
	if r.now.calls == 0 {
		r.now.began, r.now.ended = began, ended
	}
	r.now.began, r.now.ended = min(r.now.began, began), max(r.now.ended, ended)
	r.now.calls++
	r.now.cost += int64(c.Cost)
	r.now.alone += int64(c.Worked())
	return nil
}

// flushRuns writes the runs, and moves their figures in the sums: a run counts
// where its first call began.
func (b *batch) flushRuns() error {
	for id, r := range b.runs {
		if err := b.write.Run(`INSERT OR REPLACE INTO call_runs VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			id, r.project, r.workflow, r.now.began, r.now.ended, r.now.calls, r.now.cost, r.now.alone); err != nil {
			return err
		}
		if r.known {
			b.rollRun(r.project, r.workflow, r.was, -1)
		}
		b.rollRun(r.project, r.workflow, r.now, 1)
	}
	return nil
}
