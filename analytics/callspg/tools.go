package callspg

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsql"
)

// copyTools copies calls of tools and tasks in.
func (b *batch) copyTools(ctx context.Context, tools []analytics.ToolCall, tasks []analytics.ToolTask) error {
	if len(tools)+len(tasks) == 0 {
		return nil
	}
	ids, err := b.ids(ctx, len(tools)+len(tasks))
	if err != nil {
		return err
	}
	var rows [][]any
	for i, c := range tools {
		rows = append(rows, []any{ids[i], c.Time.UnixNano(), b.toolNames[toolName{c.Project, c.Workflow, c.Agent, c.Tool}], c.Run, c.Step, c.Item, int64(c.Outcome), int64(max(c.Duration, 0))})
	}
	if _, err := b.tx.CopyFrom(ctx, pgx.Identifier{"call_tools"}, []string{"id", "time", "name", "run", "step", "item", "outcome", "duration"}, pgx.CopyFromRows(rows)); err != nil {
		return err
	}
	rows = rows[:0]
	for i, t := range tasks {
		rows = append(rows, []any{
			ids[len(tools)+i], t.Time.UnixNano(), b.toolNames[toolName{t.Project, t.Workflow, t.Agent, t.Model}], t.Run, t.Step, t.Item,
			int64(t.Turns), int64(t.ToolCalls), one(t.Failed), int64(max(t.Duration, 0)),
		})
	}
	if _, err := b.tx.CopyFrom(ctx, pgx.Identifier{"call_tool_tasks"}, []string{"id", "time", "name", "run", "step", "item", "turns", "tool_calls", "failed", "duration"}, pgx.CopyFromRows(rows)); err != nil {
		return err
	}
	return b.sumTools(ctx, tools, tasks)
}

// sumTools adds calls of tools and tasks to the sums of their hours.
func (b *batch) sumTools(ctx context.Context, tools []analytics.ToolCall, tasks []analytics.ToolTask) error {
	type hour struct {
		start   int64
		project string
	}
	sums := map[hour]*analytics.ToolTotals{}
	sum := func(at time.Time, project string) *analytics.ToolTotals {
		h := hour{callsql.Floor(at.UnixNano(), callsql.Hour), project}
		if sums[h] == nil {
			sums[h] = &analytics.ToolTotals{}
		}
		return sums[h]
	}
	for _, c := range tools {
		t := sum(c.Time, c.Project)
		t.ToolCalls++
		switch c.Outcome {
		case analytics.ToolFailed:
			t.Failed++
		case analytics.ToolDenied:
			t.Denied++
		case analytics.ToolUnknown:
			t.Unknown++
		}
	}
	for _, c := range tasks {
		t := sum(c.Time, c.Project)
		t.Tasks++
		t.Turns += int64(c.Turns)
	}
	batch := &pgx.Batch{}
	for _, h := range slices.SortedFunc(maps.Keys(sums), func(a, b hour) int {
		return cmp.Or(cmp.Compare(a.start, b.start), strings.Compare(a.project, b.project))
	}) {
		t := sums[h]
		batch.Queue(`INSERT INTO call_tool_sums AS s VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (start, project) DO UPDATE SET
			tool_calls = s.tool_calls + excluded.tool_calls, failed = s.failed + excluded.failed, denied = s.denied + excluded.denied,
			unknown = s.unknown + excluded.unknown, tasks = s.tasks + excluded.tasks, turns = s.turns + excluded.turns`,
			h.start, h.project, t.ToolCalls, t.Failed, t.Denied, t.Unknown, t.Tasks, t.Turns)
	}
	return b.tx.SendBatch(ctx, batch).Close()
}
