package callspg

import (
	"context"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsql"
)

// name is who made a call, a row of call_names.
type name struct{ project, workflow, agent, asked, model, source, key, team string }

func (n name) texts() []string {
	return []string{n.project, n.workflow, n.agent, n.asked, n.model, n.source, n.key, n.team}
}

// toolName is who called which tool, a row of call_tool_names.
type toolName struct{ project, workflow, agent, tool string }

func (n toolName) texts() []string { return []string{n.project, n.workflow, n.agent, n.tool} }

// maxNames bounds the names that are remembered.
const maxNames = 20_000

// remember keeps the ids of names for later batches, once the transaction is committed.
func (b *batch) remember() {
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	if len(b.names)+len(b.toolNames) < maxNames {
		maps.Copy(b.s.names, b.names)
		maps.Copy(b.s.toolNames, b.toolNames)
	}
}

func nameOf(c *analytics.Call) name {
	return name{c.Project, c.Workflow, c.Agent, c.Asked, c.Model, string(c.Source), c.Key, c.Team}
}

// findNames finds the ids of names, and makes those that are new.
func (b *batch) findNames(ctx context.Context, calls []analytics.Call, tools []analytics.ToolCall, tasks []analytics.ToolTask) error {
	names, toolNames, projects := map[name]bool{}, map[toolName]bool{}, map[string]bool{}
	for i := range calls {
		if n := nameOf(&calls[i]); b.names[n] == 0 {
			names[n], projects[n.project] = true, true
		}
	}
	tool := func(n toolName) {
		if b.toolNames[n] == 0 {
			toolNames[n], projects[n.project] = true, true
		}
	}
	for _, c := range tools {
		tool(toolName{c.Project, c.Workflow, c.Agent, c.Tool})
	}
	for _, t := range tasks {
		tool(toolName{t.Project, t.Workflow, t.Agent, t.Model})
	}
	if err := b.addProjects(ctx, slices.Sorted(maps.Keys(projects))); err != nil {
		return err
	}
	if err := find(ctx, b.tx, `call_names`, `project, workflow, agent, asked, model, source, key, team`, names, b.names); err != nil {
		return err
	}
	return find(ctx, b.tx, `call_tool_names`, `project, workflow, agent, tool`, toolNames, b.toolNames)
}

// find finds the ids of rows of names in a table, and makes those that are new.
func find[N interface {
	comparable
	texts() []string
}](ctx context.Context, tx pgx.Tx, table, columns string, names map[N]bool, ids map[N]int64) error {
	if len(names) == 0 {
		return nil
	}
	list := slices.SortedFunc(maps.Keys(names), func(a, b N) int { return slices.Compare(a.texts(), b.texts()) })
	arrays := make([][]string, len(list[0].texts()))
	for _, n := range list {
		for i, text := range n.texts() {
			arrays[i] = append(arrays[i], text)
		}
	}
	var params []string
	var args []any
	for i := range arrays {
		params = append(params, "$"+string(rune('1'+i))+"::text[]")
		args = append(args, arrays[i])
	}
	from := `unnest(` + strings.Join(params, ", ") + `) WITH ORDINALITY AS n (` + columns + `, nth)`
	if _, err := tx.Exec(ctx, `INSERT INTO `+table+` (`+columns+`) SELECT `+columns+` FROM `+from+` ORDER BY nth ON CONFLICT DO NOTHING`, args...); err != nil {
		return err
	}
	rows, err := tx.Query(ctx, `SELECT n.nth, t.id FROM `+from+` JOIN `+table+` t USING (`+columns+`)`, args...)
	if err != nil {
		return err
	}
	var nth, id int64
	_, err = pgx.ForEachRow(rows, []any{&nth, &id}, func() error {
		ids[list[nth-1]] = id
		return nil
	})
	return err
}

// addProjects adds projects that are new, and gives those new names whose old ones are not
// unique any more.
func (b *batch) addProjects(ctx context.Context, ids []string) error {
	var missing []string
	rows, err := b.tx.Query(ctx, `SELECT n FROM unnest($1::text[]) n WHERE NOT EXISTS (SELECT FROM call_projects WHERE project = n)`, ids)
	if err == nil {
		missing, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil || len(missing) == 0 {
		return err
	}
	if _, err := b.tx.Exec(ctx, `LOCK TABLE call_projects IN SHARE ROW EXCLUSIVE MODE`); err != nil {
		return err
	}
	for _, id := range missing {
		var place *string
		if filepath.IsAbs(id) {
			place = &id
		}
		if _, err := b.tx.Exec(ctx, `INSERT INTO call_projects VALUES ($1, '', $2) ON CONFLICT DO NOTHING`, id, place); err != nil {
			return err
		}
	}
	had := map[string]string{}
	rows, err = b.tx.Query(ctx, `SELECT project, name FROM call_projects`)
	if err != nil {
		return err
	}
	var id, shown string
	if _, err := pgx.ForEachRow(rows, []any{&id, &shown}, func() error { had[id] = shown; return nil }); err != nil {
		return err
	}
	for id, shown := range callsql.ProjectNames(slices.Sorted(maps.Keys(had))) {
		if had[id] == shown {
			continue
		}
		if _, err := b.tx.Exec(ctx, `UPDATE call_projects SET name = $1 WHERE project = $2`, shown, id); err != nil {
			return err
		}
	}
	return nil
}
