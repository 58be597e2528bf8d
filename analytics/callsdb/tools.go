package callsdb

import (
	"context"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/spool"
)

// AddTools adds calls of tools, with what waits in the spool file. When it returns
// they are durable.
func (s *Store) AddTools(ctx context.Context, calls ...analytics.ToolCall) error {
	return s.addAll(ctx, spool.Tools(calls))
}

// AddTasks adds tasks of agents with tools, as AddTools does calls of tools.
func (s *Store) AddTasks(ctx context.Context, tasks ...analytics.ToolTask) error {
	return s.addAll(ctx, spool.Tasks(tasks))
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
