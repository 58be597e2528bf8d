package callsdb

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/claude-force/claude-force/analytics"
)

// entry is what is recorded: one of a call, a call of a tool, a task of an agent
// with tools and an attempt that is being sent.
type entry struct {
	call analytics.Call
	tool *analytics.ToolCall // instead of call
	task *analytics.ToolTask // instead of call
	sent *sent               // instead of call
}

// entries returns calls as what is recorded.
func entries(calls []analytics.Call) []entry {
	list := make([]entry, len(calls))
	for i := range calls {
		list[i].call = calls[i]
	}
	return list
}

// AddTools adds calls of tools, with what waits in the spool file. When it returns
// they are durable.
func (s *Store) AddTools(ctx context.Context, calls ...analytics.ToolCall) error {
	list := make([]entry, len(calls))
	for i := range calls {
		list[i].tool = &calls[i]
	}
	return s.addAll(ctx, list)
}

// AddTasks adds tasks of agents with tools, as AddTools does calls of tools.
func (s *Store) AddTasks(ctx context.Context, tasks ...analytics.ToolTask) error {
	list := make([]entry, len(tasks))
	for i := range tasks {
		list[i].task = &tasks[i]
	}
	return s.addAll(ctx, list)
}

// insertTool adds a row for a call of a tool.
func (b *batch) insertTool(c *analytics.ToolCall) error {
	id, err := b.toolName(toolName{c.Project, c.Workflow, c.Agent, c.Tool})
	if err != nil {
		return err
	}
	return b.write.Run(`INSERT INTO call_tools (time, name, run, step, item, outcome, duration) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		c.Time.UnixNano(), id, c.Run, c.Step, c.Item, int(c.Outcome), int64(max(c.Duration, 0)))
}

// insertTask adds a row for a task of an agent with tools.
func (b *batch) insertTask(t *analytics.ToolTask) error {
	id, err := b.toolName(toolName{t.Project, t.Workflow, t.Agent, t.Model})
	if err != nil {
		return err
	}
	return b.write.Run(`INSERT INTO call_tool_tasks (time, name, run, step, item, turns, tool_calls, failed, duration) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		t.Time.UnixNano(), id, t.Run, t.Step, t.Item, t.Turns, t.ToolCalls, t.Failed, int64(max(t.Duration, 0)))
}

// toolName is who called which tool, a row of call_tool_names.
type toolName struct{ project, workflow, agent, tool string }

// toolName returns the id of a row of call_tool_names, which it makes if there is
// none.
func (b *batch) toolName(n toolName) (id int64, err error) {
	if id, ok := b.toolNames[n]; ok {
		return id, nil
	}
	args := []any{n.project, n.workflow, n.agent, n.tool}
	err = b.write.Query(`SELECT id FROM call_tool_names WHERE project = ? AND workflow = ? AND agent = ? AND tool = ?`, func(row *stmt) error {
		id = row.ColumnInt64(0)
		return nil
	}, args...)
	if err == nil && id == 0 {
		if err = b.write.Run(`INSERT INTO call_tool_names (project, workflow, agent, tool) VALUES (?, ?, ?, ?)`, args...); err == nil {
			id = b.write.LastInsertRowID()
			err = b.project(n.project)
		}
	}
	if err == nil {
		b.toolNames[n] = id
	}
	return id, err
}

// toolsKey is a query as the cache knows it.
type toolsKey struct {
	filter   analytics.Filter
	workflow string
}

// Tools returns what agents did with tools in a period, in one workflow or, if that
// is empty, in all. It reads rows: see [Store.RowsSince].
func (s *Store) Tools(ctx context.Context, f analytics.Filter, workflow string) (*analytics.ToolUse, error) {
	return cached(ctx, s, toolsKey{f, workflow}, func() (*analytics.ToolUse, error) {
		_, _, p, err := s.bounds(f)
		if err != nil {
			return nil, err
		}
		where, args := toolsWhere(f, workflow)
		calls, tasks := map[analytics.ToolPair]*analytics.ToolCounts{}, map[string]*analytics.TurnCounts{}
		err = s.read.Query(`SELECT n.agent, n.tool, r.outcome, r.duration FROM call_tools r CROSS JOIN call_tool_names n ON n.id = r.name `+where, func(row *stmt) error {
			pair := analytics.ToolPair{Agent: row.ColumnText(0), Tool: row.ColumnText(1)}
			if calls[pair] == nil {
				calls[pair] = &analytics.ToolCounts{}
			}
			calls[pair].Count(analytics.ToolOutcome(row.ColumnInt(2)), time.Duration(row.ColumnInt64(3)))
			return nil
		}, args...)
		if err != nil {
			return nil, err
		}
		err = s.read.Query(`SELECT n.agent, r.turns, count(*), sum(r.failed) FROM call_tool_tasks r CROSS JOIN call_tool_names n ON n.id = r.name `+where+` GROUP BY n.agent, r.turns`, func(row *stmt) error {
			agent := row.ColumnText(0)
			if tasks[agent] == nil {
				tasks[agent] = &analytics.TurnCounts{}
			}
			tasks[agent].Count(row.ColumnInt(1), row.ColumnInt64(2), row.ColumnInt64(3))
			return nil
		}, args...)
		if err != nil {
			return nil, err
		}
		return analytics.SumTools(p, calls, tasks), nil
	})
}

// TaskTurns returns how many turns the latest tasks of an agent of a project had with a
// model, up to n, the latest first. Failed tasks do not count.
func (s *Store) TaskTurns(ctx context.Context, project, agent, model string, n int) (turns []int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.reading(ctx, func() error {
		return s.read.Query(`SELECT r.turns FROM (SELECT time, name, turns, failed FROM call_tool_tasks ORDER BY time DESC LIMIT ?) r
			JOIN call_tool_names n ON n.id = r.name WHERE r.failed = 0 AND n.project = ? AND n.agent = ? AND n.tool = ? ORDER BY r.time DESC LIMIT ?`, func(row *stmt) error {
			turns = append(turns, row.ColumnInt(0))
			return nil
		}, recentRows, project, agent, model, n)
	})
	return turns, err
}

// toolsWhere returns the condition for rows of a period, and its values.
func toolsWhere(f analytics.Filter, workflow string) (where string, args []any) {
	where, args = `WHERE r.time >= ? AND r.time < ?`, []any{never, always}
	if !f.Since.IsZero() {
		args[0] = f.Since.UnixNano()
	}
	if !f.Until.IsZero() {
		args[1] = f.Until.UnixNano()
	}
	if f.Project != "" {
		where, args = where+` AND n.project = ?`, append(args, f.Project)
	}
	if workflow != "" {
		where, args = where+` AND n.workflow = ?`, append(args, workflow)
	}
	return where, args
}

// toolTotals returns how often tools were called in a period, and how; nil if no agent
// had any. The caller is reading.
func (s *Store) toolTotals(f analytics.Filter) (*analytics.ToolTotals, error) {
	where, args := toolsWhere(f, "")
	var t analytics.ToolTotals
	err := s.read.Query(`SELECT count(*), coalesce(sum(r.outcome = 1), 0), coalesce(sum(r.outcome = 2), 0), coalesce(sum(r.outcome = 3), 0)
		FROM call_tools r CROSS JOIN call_tool_names n ON n.id = r.name `+where, func(row *stmt) error {
		t.ToolCalls, t.Failed, t.Denied, t.Unknown = row.ColumnInt64(0), row.ColumnInt64(1), row.ColumnInt64(2), row.ColumnInt64(3)
		return nil
	}, args...)
	if err != nil {
		return nil, err
	}
	err = s.read.Query(`SELECT count(*), coalesce(sum(r.turns), 0) FROM call_tool_tasks r CROSS JOIN call_tool_names n ON n.id = r.name `+where, func(row *stmt) error {
		t.Tasks, t.Turns = row.ColumnInt64(0), row.ColumnInt64(1)
		return nil
	}, args...)
	if err != nil || t.Tasks == 0 && t.ToolCalls == 0 {
		return nil, err
	}
	return &t, nil
}

// ToolCalls gives the calls of tools of a period in the order of time, as
// [Store.Calls] does calls.
func (s *Store) ToolCalls(ctx context.Context, f analytics.Filter) iter.Seq2[analytics.ToolCall, error] {
	return toolRows(ctx, s, f, `r.outcome, r.duration`, `call_tools`, func(row *stmt, w who) analytics.ToolCall {
		return analytics.ToolCall{
			Time: w.time, Project: w.project, Workflow: w.workflow, Run: w.run, Step: w.step, Item: w.item, Agent: w.agent, Tool: w.tool,
			Outcome: analytics.ToolOutcome(row.ColumnInt(9)), Duration: time.Duration(row.ColumnInt64(10)),
		}
	})
}

// ToolTasks gives the tasks of agents with tools, as ToolCalls the calls of tools.
func (s *Store) ToolTasks(ctx context.Context, f analytics.Filter) iter.Seq2[analytics.ToolTask, error] {
	return toolRows(ctx, s, f, `r.turns, r.tool_calls, r.failed, r.duration`, `call_tool_tasks`, func(row *stmt, w who) analytics.ToolTask {
		return analytics.ToolTask{
			Time: w.time, Project: w.project, Workflow: w.workflow, Run: w.run, Step: w.step, Item: w.item, Agent: w.agent, Model: w.tool,
			Turns: row.ColumnInt(9), ToolCalls: row.ColumnInt(10), Failed: row.ColumnInt64(11) != 0, Duration: time.Duration(row.ColumnInt64(12)),
		}
	})
}

// who is what rows of both tables have.
type who struct {
	time                                            time.Time
	project, workflow, run, step, item, agent, tool string
}

// toolRows gives the rows of a table, page by page, so that the store may be used
// meanwhile. read gets the columns from 9 on.
func toolRows[T any](ctx context.Context, s *Store, f analytics.Filter, columns, table string, read func(*stmt, who) T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		where, args := toolsWhere(f, "")
		sql := `SELECT r.time, r.id, n.project, n.workflow, r.run, r.step, r.item, n.agent, n.tool, ` + columns + ` FROM ` + table +
			` r CROSS JOIN call_tool_names n ON n.id = r.name ` + where + ` AND (r.time, r.id) > (?, ?) ORDER BY r.time, r.id LIMIT ?`
		last, lastID := never, int64(-1)
		for {
			page, err := func() (page []T, err error) {
				s.mu.Lock()
				defer s.mu.Unlock()
				err = s.reading(ctx, func() error {
					return s.read.Query(sql, func(row *stmt) error {
						last, lastID = row.ColumnInt64(0), row.ColumnInt64(1)
						page = append(page, read(row, who{
							time.Unix(0, last).UTC(), row.ColumnText(2), row.ColumnText(3), row.ColumnText(4), row.ColumnText(5), row.ColumnText(6), row.ColumnText(7), row.ColumnText(8),
						}))
						return nil
					}, append(slices.Clone(args), last, lastID, pageRows)...)
				})
				return page, err
			}()
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, row := range page {
				if !yield(row, nil) {
					return
				}
			}
			if len(page) < pageRows {
				return
			}
		}
	}
}
