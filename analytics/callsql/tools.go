package callsql

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/claude-force/claude-force/analytics"
)

// toolsKey is a query as the cache knows it.
type toolsKey struct {
	filter   analytics.Filter
	workflow string
}

// Tools returns what agents did with tools in a period, in one workflow or, if that
// is empty, in all. It reads rows: see [Reader.RowsSince].
func (r *Reader) Tools(ctx context.Context, f analytics.Filter, workflow string) (*analytics.ToolUse, error) {
	return cached(ctx, r, toolsKey{f, workflow}, func(s *state) (*analytics.ToolUse, error) {
		_, _, p, err := s.bounds(f)
		if err != nil {
			return nil, err
		}
		where, args := toolsWhere(f, workflow)
		calls, tasks := map[analytics.ToolPair]*analytics.ToolCounts{}, map[string]*analytics.TurnCounts{}
		err = s.query(`SELECT n.agent, n.tool, r.outcome, r.duration FROM call_tools r `+s.dialect.Join+` call_tool_names n ON n.id = r.name `+where, func(row Row) error {
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
		err = s.query(`SELECT n.agent, r.turns, count(*), CAST(sum(r.failed) AS BIGINT) FROM call_tool_tasks r `+s.dialect.Join+` call_tool_names n ON n.id = r.name `+where+` GROUP BY n.agent, r.turns`, func(row Row) error {
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
func (r *Reader) TaskTurns(ctx context.Context, project, agent, model string, n int) (turns []int, err error) {
	err = r.read(ctx, func(s *state) error {
		return s.query(`SELECT r.turns FROM (SELECT time, name, turns, failed FROM call_tool_tasks ORDER BY time DESC LIMIT ?) r
			JOIN call_tool_names n ON n.id = r.name WHERE r.failed = 0 AND n.project = ? AND n.agent = ? AND n.tool = ? ORDER BY r.time DESC LIMIT ?`, func(row Row) error {
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
// had any. Rows are read beside whole hours only.
func (s *state) toolTotals(f analytics.Filter) (*analytics.ToolTotals, error) {
	var t analytics.ToolTotals
	_, args := toolsWhere(f, "")
	for _, part := range spans(args[0].(int64), args[1].(int64)) {
		read := s.toolRows
		if part.seconds != 0 {
			read = s.toolSums
		}
		if err := read(part, f.Project, &t); err != nil {
			return nil, err
		}
	}
	if t.Tasks == 0 && t.ToolCalls == 0 {
		return nil, nil
	}
	return &t, nil
}

// toolRows adds rows to totals.
func (s *state) toolRows(part span, project string, t *analytics.ToolTotals) error {
	where, args := `WHERE r.time >= ? AND r.time < ?`, []any{part.from, part.until}
	if project != "" {
		where, args = where+` AND n.project = ?`, append(args, project)
	}
	err := s.query(`SELECT count(*), count(*) FILTER (WHERE r.outcome = 1), count(*) FILTER (WHERE r.outcome = 2), count(*) FILTER (WHERE r.outcome = 3)
		FROM call_tools r `+s.dialect.Join+` call_tool_names n ON n.id = r.name `+where, func(row Row) error {
		t.ToolCalls, t.Failed, t.Denied, t.Unknown = t.ToolCalls+row.ColumnInt64(0), t.Failed+row.ColumnInt64(1), t.Denied+row.ColumnInt64(2), t.Unknown+row.ColumnInt64(3)
		return nil
	}, args...)
	if err != nil {
		return err
	}
	return s.query(`SELECT count(*), CAST(coalesce(sum(r.turns), 0) AS BIGINT) FROM call_tool_tasks r `+s.dialect.Join+` call_tool_names n ON n.id = r.name `+where, func(row Row) error {
		t.Tasks, t.Turns = t.Tasks+row.ColumnInt64(0), t.Turns+row.ColumnInt64(1)
		return nil
	}, args...)
}

// toolSums adds sums of hours to totals.
func (s *state) toolSums(part span, project string, t *analytics.ToolTotals) error {
	where, args := `start >= ? AND start < ?`, []any{part.from, part.until}
	if project != "" {
		where, args = where+` AND project = ?`, append(args, project)
	}
	return s.query(`SELECT tool_calls, failed, denied, unknown, tasks, turns FROM call_tool_sums WHERE `+where, func(row Row) error {
		t.ToolCalls, t.Failed, t.Denied, t.Unknown = t.ToolCalls+row.ColumnInt64(0), t.Failed+row.ColumnInt64(1), t.Denied+row.ColumnInt64(2), t.Unknown+row.ColumnInt64(3)
		t.Tasks, t.Turns = t.Tasks+row.ColumnInt64(4), t.Turns+row.ColumnInt64(5)
		return nil
	}, args...)
}

// ToolCalls gives the calls of tools of a period in the order of time, as
// [Reader.Calls] does calls.
func (r *Reader) ToolCalls(ctx context.Context, f analytics.Filter) iter.Seq2[analytics.ToolCall, error] {
	return toolRows(ctx, r, f, `r.outcome, r.duration`, `call_tools`, func(row Row, w who) analytics.ToolCall {
		return analytics.ToolCall{
			Time: w.time, Project: w.project, Workflow: w.workflow, Run: w.run, Step: w.step, Item: w.item, Agent: w.agent, Tool: w.tool,
			Outcome: analytics.ToolOutcome(row.ColumnInt(9)), Duration: time.Duration(row.ColumnInt64(10)),
		}
	})
}

// ToolTasks gives the tasks of agents with tools, as ToolCalls the calls of tools.
func (r *Reader) ToolTasks(ctx context.Context, f analytics.Filter) iter.Seq2[analytics.ToolTask, error] {
	return toolRows(ctx, r, f, `r.turns, r.tool_calls, r.failed, r.duration`, `call_tool_tasks`, func(row Row, w who) analytics.ToolTask {
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
func toolRows[T any](ctx context.Context, r *Reader, f analytics.Filter, columns, table string, read func(Row, who) T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		where, args := toolsWhere(f, "")
		sql := `SELECT r.time, r.id, n.project, n.workflow, r.run, r.step, r.item, n.agent, n.tool, ` + columns + ` FROM ` + table +
			` r ` + r.dialect.Join + ` call_tool_names n ON n.id = r.name ` + where + ` AND (r.time, r.id) > (?, ?) ORDER BY r.time, r.id LIMIT ?`
		last, lastID := never, int64(-1)
		for {
			page, err := func() (page []T, err error) {
				err = r.read(ctx, func(s *state) error {
					return s.query(sql, func(row Row) error {
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
