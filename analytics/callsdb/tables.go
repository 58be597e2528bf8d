package callsdb

import (
	"context"
	"strconv"

	"github.com/claude-force/claude-force/analytics/callsql"
	"github.com/claude-force/claude-force/internal/sqlitefile"
	"github.com/claude-force/claude-force/internal/tablecopy"
)

// Tables returns what the store holds, in the order in which it is to be copied.
func (s *Store) Tables() []tablecopy.Table {
	table := func(t sqlitefile.Table) tablecopy.Table {
		t.Use = s.use
		return sqlitefile.NewTable(t)
	}
	attempts := map[string]string{"call_time": "r.time", "call": "r.id"}
	for _, c := range tablecopy.Columns(callsql.CopiedAttempts) {
		if attempts[c.Name] == "" {
			attempts[c.Name] = "a." + c.Name
		}
	}
	return []tablecopy.Table{
		table(sqlitefile.Table{Label: "names of calls", From: "call_names", Key: 1, Columns: callsql.CopiedNames}),
		table(sqlitefile.Table{Label: "projects", From: "call_projects", Key: 1, Columns: callsql.CopiedProjects}),
		table(sqlitefile.Table{
			Label: "calls", From: "call_rows", Key: 2, Columns: callsql.CopiedRows,
			Writes: []string{writeTo("call_rows", "id", tablecopy.Columns(callsql.CopiedRows), 1)},
		}),
		table(sqlitefile.Table{
			Label: "attempts", From: "call_rows r CROSS JOIN call_attempts a ON a.call = r.id", Key: 3, Columns: callsql.CopiedAttempts, Exprs: attempts,
			Writes: []string{writeTo("call_attempts", "call, number", tablecopy.Columns(callsql.CopiedAttempts)[1:], 2)},
		}),
		table(sqlitefile.Table{Label: "attempts sent", From: "call_sent", Key: 1, Columns: callsql.CopiedSent}),
		table(sqlitefile.Table{Label: "sums of calls", From: "call_rollups", Key: 6, Columns: callsql.CopiedRollups}),
		table(sqlitefile.Table{Label: "runs of calls", From: "call_runs", Key: 1, Columns: callsql.CopiedRuns}),
		table(sqlitefile.Table{Label: "pace", From: "call_pace", Key: 2, Columns: callsql.CopiedPace}),
		table(sqlitefile.Table{Label: "imported lines", From: "call_imports", Key: 1, Columns: callsql.CopiedImports}),
		table(sqlitefile.Table{Label: "names of tools", From: "call_tool_names", Key: 1, Columns: callsql.CopiedToolNames}),
		table(sqlitefile.Table{
			Label: "calls of tools", From: "call_tools", Key: 2, Columns: callsql.CopiedTools,
			Writes: []string{writeTo("call_tools", "id", tablecopy.Columns(callsql.CopiedTools), 1)},
		}),
		table(sqlitefile.Table{
			Label: "tasks with tools", From: "call_tool_tasks", Key: 2, Columns: callsql.CopiedToolTasks,
			Writes: []string{writeTo("call_tool_tasks", "id", tablecopy.Columns(callsql.CopiedToolTasks), 1)},
		}),
		table(sqlitefile.Table{
			Label: "oldest calls", From: "call_state", Key: 1, Columns: callsql.CopiedState, Where: "rows_since + hours_since > 0",
			Writes: []string{`UPDATE call_state SET rows_since = ?2, hours_since = ?3 WHERE id = ?1`},
		}),
	}
}

// writeTo returns the statement that writes columns of a table, whose values begin at the
// parameter with a number, and whose key in the file is not that of the copy.
func writeTo(table, key string, columns []tablecopy.Column, first int) string {
	sql := "INSERT INTO " + table + " (" + tablecopy.Names(columns, func(c tablecopy.Column) string { return c.Name }) + ") VALUES ("
	sql += tablecopy.Names(columns, func(tablecopy.Column) string {
		first++
		return "?" + strconv.Itoa(first-1)
	})
	return sql + ") ON CONFLICT (" + key + ") DO UPDATE SET " + tablecopy.Names(columns, func(c tablecopy.Column) string { return c.Name + " = excluded." + c.Name })
}

// use calls do with a connection, within a transaction if that writes.
func (s *Store) use(ctx context.Context, writes bool, do func(*sqlitefile.Conn) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if writes {
		return s.writing(func() error { return do(s.write) })
	}
	return s.reading(ctx, func() error { return do(s.read) })
}
