package callspg

import (
	"context"
	"time"

	"github.com/claude-force/claude-force/analytics/callsql"
	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/tablecopy"
)

// Tables returns what the store holds, in the order in which it is to be copied.
func (s *Store) Tables() []tablecopy.Table {
	table := func(t postgres.CopyTable) tablecopy.Table {
		t.DB = s.db
		return postgres.NewCopyTable(t)
	}
	number := `SELECT setval('call_ids', max(id)) FROM (SELECT last_value AS id FROM call_ids WHERE is_called UNION ALL
		SELECT max(id) FROM call_rows UNION ALL SELECT max(id) FROM call_tools UNION ALL SELECT max(id) FROM call_tool_tasks) x HAVING max(id) > 0`
	return []tablecopy.Table{
		table(postgres.CopyTable{Label: "names of calls", From: "call_names", Key: 1, Columns: callsql.CopiedNames, Identity: "id"}),
		table(postgres.CopyTable{Label: "projects", From: "call_projects", Key: 1, Columns: callsql.CopiedProjects}),
		table(postgres.CopyTable{Label: "calls", From: "call_rows", Key: 2, Columns: callsql.CopiedRows, Before: s.partitionRows}),
		table(postgres.CopyTable{
			Label: "attempts", From: "call_attempts", Key: 3, Columns: callsql.CopiedAttempts, Before: s.partitionRows,
			Finishes: []string{`INSERT INTO call_attempt_ids (id, time) SELECT id, call_time FROM call_attempts WHERE id <> 0 ON CONFLICT DO NOTHING`},
		}),
		table(postgres.CopyTable{Label: "attempts sent", From: "call_sent", Key: 1, Columns: callsql.CopiedSent}),
		table(postgres.CopyTable{Label: "sums of calls", From: "call_rollups", Key: 6, Columns: callsql.CopiedRollups}),
		table(postgres.CopyTable{Label: "runs of calls", From: "call_runs", Key: 1, Columns: callsql.CopiedRuns}),
		table(postgres.CopyTable{Label: "pace", From: "call_pace", Key: 2, Columns: callsql.CopiedPace}),
		table(postgres.CopyTable{Label: "imported lines", From: "call_imports", Key: 1, Columns: callsql.CopiedImports}),
		table(postgres.CopyTable{Label: "names of tools", From: "call_tool_names", Key: 1, Columns: callsql.CopiedToolNames, Identity: "id"}),
		table(postgres.CopyTable{Label: "calls of tools", From: "call_tools", Key: 2, Columns: callsql.CopiedTools, Before: s.partitionRows}),
		table(postgres.CopyTable{
			Label: "tasks with tools", From: "call_tool_tasks", Key: 2, Columns: callsql.CopiedToolTasks, Before: s.partitionRows,
			Finishes: []string{number, sumTools},
		}),
		table(postgres.CopyTable{
			Label: "oldest calls", From: "call_state", Key: 1, Columns: callsql.CopiedState, Exprs: map[string]string{"id": "1"}, Where: "rows_since + hours_since > 0",
			Writes: []string{`UPDATE call_state t SET rows_since = r.rows_since, hours_since = r.hours_since FROM r`},
		}),
	}
}

// sumTools sums up what agents did with tools, by the hour.
const sumTools = `INSERT INTO call_tool_sums (start, project, tool_calls, failed, denied, unknown, tasks, turns)
	SELECT start, project, sum(tool_calls), sum(failed), sum(denied), sum(unknown), sum(tasks), sum(turns) FROM (
		SELECT (r.time - ((r.time % 3600000000000) + 3600000000000) % 3600000000000) / 1000000000 AS start, n.project,
			1 AS tool_calls, (r.outcome = 1)::int AS failed, (r.outcome = 2)::int AS denied, (r.outcome = 3)::int AS unknown, 0 AS tasks, 0 AS turns
		FROM call_tools r JOIN call_tool_names n ON n.id = r.name
		UNION ALL
		SELECT (r.time - ((r.time % 3600000000000) + 3600000000000) % 3600000000000) / 1000000000, n.project, 0, 0, 0, 0, 1, r.turns
		FROM call_tool_tasks r JOIN call_tool_names n ON n.id = r.name) x
	GROUP BY start, project
	ON CONFLICT (start, project) DO UPDATE SET tool_calls = excluded.tool_calls, failed = excluded.failed, denied = excluded.denied,
		unknown = excluded.unknown, tasks = excluded.tasks, turns = excluded.turns`

// partitionRows makes the partitions of rows whose first value is their time.
func (s *Store) partitionRows(ctx context.Context, rows [][]any) error {
	days := map[int64]bool{}
	for _, row := range rows {
		at, _ := row[0].(int64)
		days[callsql.Floor(at, callsql.Day)] = true
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	return s.partition(ctx, days)
}
