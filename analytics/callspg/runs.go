package callspg

import (
	"context"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsql"
)

// addRuns adds calls to their runs, and moves these in the sums: a run counts where its
// first call began.
func (b *batch) addRuns(ctx context.Context, calls []analytics.Call) error {
	first := map[string]*analytics.Call{}
	for i := range calls {
		if c := &calls[i]; c.Run != "" && first[c.Run] == nil {
			first[c.Run] = c
		}
	}
	if len(first) == 0 {
		return nil
	}
	ids := slices.Sorted(maps.Keys(first))
	projects, workflows := make([]string, len(ids)), make([]string, len(ids))
	for i, id := range ids {
		projects[i], workflows[i] = first[id].Project, first[id].Workflow
	}
	if _, err := b.tx.Exec(ctx, `INSERT INTO call_runs (id, project, workflow) SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) AS n (id, project, workflow) ORDER BY id COLLATE "C" ON CONFLICT DO NOTHING`, ids, projects, workflows); err != nil {
		return err
	}
	rows, err := b.tx.Query(ctx, `SELECT id, project, workflow, began, ended, calls, cost, alone FROM call_runs WHERE id = ANY($1) ORDER BY id FOR UPDATE`, ids)
	if err != nil {
		return err
	}
	type run struct {
		project, workflow string
		was, now          callsql.RunFigures
	}
	runs := map[string]*run{}
	var id string
	var r run
	f := &r.was
	if _, err := pgx.ForEachRow(rows, []any{&id, &r.project, &r.workflow, &f.Began, &f.Ended, &f.Calls, &f.Cost, &f.Alone}, func() error {
		r.now = r.was
		runs[id] = new(r)
		return nil
	}); err != nil {
		return err
	}
	for i := range calls {
		if c := &calls[i]; c.Run != "" {
			runs[c.Run].now.Add(c)
		}
	}
	var columns [5][]int64
	for _, id := range ids {
		r := runs[id]
		if r.was.Calls > 0 {
			b.rollups.AddRun(r.project, r.workflow, r.was, -1)
		}
		b.rollups.AddRun(r.project, r.workflow, r.now, 1)
		for i, v := range [...]int64{r.now.Began, r.now.Ended, r.now.Calls, r.now.Cost, r.now.Alone} {
			columns[i] = append(columns[i], v)
		}
	}
	_, err = b.tx.Exec(ctx, `UPDATE call_runs r SET began = n.began, ended = n.ended, calls = n.calls, cost = n.cost, alone = n.alone
		FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[]) AS n (id, began, ended, calls, cost, alone) WHERE r.id = n.id`,
		ids, columns[0], columns[1], columns[2], columns[3], columns[4])
	return err
}
