package callspg

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsql"
	"github.com/claude-force/claude-force/analytics/spool"
	"github.com/claude-force/claude-force/llm"
)

// name is who made a call, a row of call_names.
type name struct{ project, workflow, agent, asked, model, source, key, team string }

func (n name) texts() []string {
	return []string{n.project, n.workflow, n.agent, n.asked, n.model, n.source, n.key, n.team}
}

// toolName is who called which tool, a row of call_tool_names.
type toolName struct{ project, workflow, agent, tool string }

func (n toolName) texts() []string { return []string{n.project, n.workflow, n.agent, n.tool} }

// batch is a transaction that adds calls. Rows that others may change are locked in this
// order: spools, ids of attempts, projects, names, pace, sums of tools, runs, sums; within each, in the
// order of their keys.
type batch struct {
	s         *Store
	tx        pgx.Tx
	claimed   map[int64]bool // ids of attempts that are of this transaction
	names     map[name]int64
	toolNames map[toolName]int64
	rollups   callsql.Rollups
}

func newBatch(s *Store, tx pgx.Tx) *batch {
	b := &batch{s: s, tx: tx, claimed: map[int64]bool{}, rollups: callsql.Rollups{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	b.names, b.toolNames = maps.Clone(s.names), maps.Clone(s.toolNames)
	return b
}

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

// clean makes a text one that PostgreSQL can keep.
func clean(texts ...*string) {
	for _, t := range texts {
		if strings.ContainsRune(*t, 0) {
			*t = strings.ReplaceAll(*t, "\x00", "\uFFFD")
		}
		*t = strings.ToValidUTF8(*t, "\uFFFD")
	}
}

// addOnce adds those calls whose first attempt is not known.
func (b *batch) addOnce(ctx context.Context, calls []analytics.Call) error {
	if err := b.claim(ctx, calls); err != nil {
		return err
	}
	var entries []*spool.Entry
	seen := map[int64]bool{}
	for _, c := range calls {
		if len(c.Tries) > 0 && b.claimed[c.Tries[0].ID] && !seen[c.Tries[0].ID] {
			seen[c.Tries[0].ID] = true
			entries = append(entries, &spool.Entry{Call: c})
		}
	}
	return b.add(ctx, entries)
}

// claim takes the ids of attempts that no call has.
func (b *batch) claim(ctx context.Context, calls []analytics.Call) error {
	times := map[int64]int64{}
	for i := range calls {
		for _, a := range calls[i].Tries {
			if a.ID != 0 && !b.claimed[a.ID] {
				times[a.ID] = calls[i].Time.UnixNano()
			}
		}
	}
	if len(times) == 0 {
		return nil
	}
	ids := slices.Sorted(maps.Keys(times))
	at := make([]int64, len(ids))
	for i, id := range ids {
		at[i] = times[id]
	}
	rows, err := b.tx.Query(ctx, `INSERT INTO call_attempt_ids (id, time) SELECT * FROM unnest($1::bigint[], $2::bigint[]) AS n (id, time) ORDER BY id ON CONFLICT DO NOTHING RETURNING id`, ids, at)
	if err != nil {
		return err
	}
	fresh, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	for _, id := range fresh {
		b.claimed[id] = true
	}
	return err
}

// add adds entries, with what they change.
func (b *batch) add(ctx context.Context, entries []*spool.Entry) error {
	var calls []analytics.Call
	var tools []analytics.ToolCall
	var tasks []analytics.ToolTask
	var sent []*spool.Sent
	for _, e := range entries {
		switch {
		case e.Tool != nil:
			c := *e.Tool
			clean(&c.Project, &c.Workflow, &c.Run, &c.Step, &c.Item, &c.Agent, &c.Tool)
			tools = append(tools, c)
		case e.Task != nil:
			t := *e.Task
			clean(&t.Project, &t.Workflow, &t.Run, &t.Step, &t.Item, &t.Agent, &t.Model)
			tasks = append(tasks, t)
		case e.Sent != nil:
			sent = append(sent, e.Sent)
		default:
			c := e.Call
			c.Tries = slices.Clone(c.Tries)
			callsql.Normalize(&c)
			source := string(c.Source)
			clean(&c.Project, &c.Workflow, &c.Run, &c.Step, &c.Item, &c.Agent, &c.Asked, &c.Model, &source, &c.StopReason, &c.Key, &c.Team)
			c.Source = llm.Source(source)
			for i := range c.Tries {
				basis := string(c.Tries[i].Basis)
				clean(&c.Tries[i].Model, &basis)
				c.Tries[i].Basis = llm.Basis(basis)
			}
			calls = append(calls, c)
		}
	}
	for _, step := range []func() error{
		func() error { return b.claim(ctx, calls) },
		func() error { return b.addSent(ctx, sent) },
		func() error { return b.findNames(ctx, calls, tools, tasks) },
		func() error { return b.estimate(ctx, calls) },
		func() error { return b.copyCalls(ctx, calls) },
		func() error { return b.copyTools(ctx, tools, tasks) },
		func() error { return b.addRuns(ctx, calls) },
		func() error { return b.flushRollups(ctx) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// addSent adds attempts that are being sent.
func (b *batch) addSent(ctx context.Context, list []*spool.Sent) error {
	batch := &pgx.Batch{}
	for _, s := range list {
		if len(s.Call.Tries) > 0 {
			batch.Queue(`INSERT INTO call_sent VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
				s.Call.Tries[0].ID, s.By.Host, s.By.Boot, s.By.PID, s.By.Born, spool.AppendCall(nil, &s.Call))
		}
	}
	if batch.Len() == 0 {
		return nil
	}
	return b.tx.SendBatch(ctx, batch).Close()
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

// estimate fills in how long calls would have taken, and notes how long they did.
func (b *batch) estimate(ctx context.Context, calls []analytics.Call) error {
	type pace struct {
		callsql.Pace
		was callsql.Pace
	}
	known := map[[2]string]*pace{}
	for i := range calls {
		known[[2]string{calls[i].Agent, calls[i].Model}] = &pace{}
	}
	who := slices.SortedFunc(maps.Keys(known), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	agents, models := make([]string, len(who)), make([]string, len(who))
	for i, w := range who {
		agents[i], models[i] = w[0], w[1]
	}
	rows, err := b.tx.Query(ctx, `SELECT agent, model, calls, duration FROM call_pace JOIN unnest($1::text[], $2::text[]) AS n (agent, model) USING (agent, model)`, agents, models)
	if err != nil {
		return err
	}
	var agent, model string
	var p callsql.Pace
	if _, err := pgx.ForEachRow(rows, []any{&agent, &model, &p.Calls, &p.Duration}, func() error {
		*known[[2]string{agent, model}] = pace{p, p}
		return nil
	}); err != nil {
		return err
	}
	for i := range calls {
		if err := callsql.Estimate(&calls[i], func(agent, model string) (*callsql.Pace, error) { return &known[[2]string{agent, model}].Pace, nil }); err != nil {
			return err
		}
	}
	batch := &pgx.Batch{}
	for _, w := range who {
		if p := known[w]; p.Changed {
			batch.Queue(`INSERT INTO call_pace VALUES ($1, $2, $3, $4) ON CONFLICT (agent, model) DO UPDATE SET calls = call_pace.calls + excluded.calls, duration = call_pace.duration + excluded.duration`,
				w[0], w[1], p.Calls-p.was.Calls, p.Duration-p.was.Duration)
		}
	}
	if batch.Len() == 0 {
		return nil
	}
	return b.tx.SendBatch(ctx, batch).Close()
}

// ids returns so many ids for rows.
func (b *batch) ids(ctx context.Context, n int) ([]int64, error) {
	rows, err := b.tx.Query(ctx, `SELECT nextval('call_ids') FROM generate_series(1, $1)`, n)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

var (
	callColumns = []string{
		"id", "time", "name", "run", "step", "item", "input", "output", "cache_read", "cache_write_5m", "cache_write_1h", "searches",
		"unpriced", "cost", "saved_cache", "saved_coalesced", "saved_prompt", "saved_batch", "saved_model", "duration", "first_token", "alone", "attempts", "code", "stop",
		"service", "waited", "batch", "refused", "uncertain",
	}
	attemptColumns = []string{
		"call_time", "call", "number", "time", "duration", "first_token", "model", "code", "basis", "cost", "input", "output", "cache_read", "cache_write_5m", "cache_write_1h", "searches",
		"write_extra", "id", "uncertain",
	}
)

func one(is bool) int64 {
	if is {
		return 1
	}
	return 0
}

// copyCalls copies calls and their attempts in.
func (b *batch) copyCalls(ctx context.Context, calls []analytics.Call) error {
	if len(calls) == 0 {
		return nil
	}
	ids, err := b.ids(ctx, len(calls))
	if err != nil {
		return err
	}
	rows := make([][]any, len(calls))
	var attempts [][]any
	var done []int64
	for i := range calls {
		c := &calls[i]
		u, at := c.Usage, c.Time.UnixNano()
		rows[i] = []any{
			ids[i], at, b.names[nameOf(c)], c.Run, c.Step, c.Item, int64(u.InputTokens), int64(u.OutputTokens), int64(u.CacheReadTokens), int64(u.CacheWrite5m), int64(u.CacheWrite1h), int64(u.WebSearches),
			one(c.Unpriced), int64(c.Cost), int64(c.Saved.Cache), int64(c.Saved.Coalesced), int64(c.Saved.Prompt), int64(c.Saved.Batch), int64(c.Saved.Model),
			int64(c.Duration), int64(c.FirstToken), int64(c.Alone), int64(c.Attempts), int64(c.Code), c.StopReason,
			int64(c.Service), int64(c.Waited), one(u.Batch), int64(c.Refused), int64(c.Uncertain),
		}
		for n, a := range c.Tries {
			u, id := a.Usage, a.ID
			if id != 0 {
				done = append(done, id)
			}
			if !b.claimed[id] {
				id = 0 // its process was taken for dead, and was not
			}
			delete(b.claimed, id)
			attempts = append(attempts, []any{
				at, ids[i], int64(n + 1), a.Start.UnixNano(), int64(a.Duration), int64(a.FirstToken), a.Model, int64(a.Code), string(a.Basis), int64(a.Cost),
				int64(u.InputTokens), int64(u.OutputTokens), int64(u.CacheReadTokens), int64(u.CacheWrite5m), int64(u.CacheWrite1h), int64(u.WebSearches), int64(a.WriteExtra), id, int64(a.Uncertain),
			})
		}
		b.rollups.AddCall(c)
	}
	if _, err := b.tx.CopyFrom(ctx, pgx.Identifier{"call_rows"}, callColumns, pgx.CopyFromRows(rows)); err != nil {
		return err
	}
	if len(attempts) == 0 {
		return nil
	}
	if _, err := b.tx.CopyFrom(ctx, pgx.Identifier{"call_attempts"}, attemptColumns, pgx.CopyFromRows(attempts)); err != nil || len(done) == 0 {
		return err
	}
	_, err = b.tx.Exec(ctx, `DELETE FROM call_sent WHERE id = ANY($1)`, done)
	return err
}

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

func compareKeys(a, b callsql.Key) int {
	return cmp.Or(cmp.Compare(a.Seconds, b.Seconds), strings.Compare(a.Kind, b.Kind), cmp.Compare(a.Start, b.Start), strings.Compare(a.Project, b.Project),
		strings.Compare(a.Value, b.Value), strings.Compare(string(a.Source), string(b.Source)))
}

// flushRollups adds the batch's sums to those of the database. Rows are made before they
// are locked, so that of two processes with the same new row the second adds to it.
func (b *batch) flushRollups(ctx context.Context) error {
	if len(b.rollups) == 0 {
		return nil
	}
	const columns = `seconds, kind, start, project, value, source`
	keys := slices.SortedFunc(maps.Keys(b.rollups), compareKeys)
	var seconds, starts []int64
	var kinds, projects, values, sources []string
	for _, k := range keys {
		seconds, kinds, starts = append(seconds, k.Seconds), append(kinds, k.Kind), append(starts, k.Start)
		projects, values, sources = append(projects, k.Project), append(values, k.Value), append(sources, string(k.Source))
	}
	args := []any{seconds, kinds, starts, projects, values, sources}
	const from = `unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[]) WITH ORDINALITY AS n (` + columns + `, nth)`
	if _, err := b.tx.Exec(ctx, `INSERT INTO call_rollups (`+columns+`) SELECT `+columns+` FROM `+from+` ORDER BY nth ON CONFLICT DO NOTHING`, args...); err != nil {
		return err
	}
	rows, err := b.tx.Query(ctx, `SELECT n.nth, r.latency, r.service_latency FROM `+from+` JOIN call_rollups r USING (`+columns+`) ORDER BY n.nth FOR UPDATE OF r`, args...)
	if err != nil {
		return err
	}
	var nth int64
	var latency, service []byte
	if _, err := pgx.ForEachRow(rows, []any{&nth, &latency, &service}, func() error {
		t := b.rollups[keys[nth-1]]
		return errors.Join(t.Latency.MergeBinary(latency), t.ServiceLatency.MergeBinary(service))
	}); err != nil {
		return err
	}
	sums := make([][]int64, len(callsql.Sums))
	var longest []int64
	var latencies, services [][]byte
	for _, k := range keys {
		t := b.rollups[k]
		latency, err := t.Latency.AppendBinary(make([]byte, 0, 256))
		if err != nil {
			return err
		}
		service, err := t.ServiceLatency.AppendBinary(make([]byte, 0, 256))
		if err != nil {
			return err
		}
		latencies, services, longest = append(latencies, latency), append(services, service), append(longest, int64(t.Longest))
		for i, v := range callsql.SumValues(t) {
			sums[i] = append(sums[i], v)
		}
	}
	args = append(args, longest, latencies, services)
	for i := range sums {
		args = append(args, sums[i])
	}
	_, err = b.tx.Exec(ctx, updateRollups(), args...)
	return err
}
