package analyticstest

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/llm"
)

// importedOnce: each line once, however often and by whatever batch it comes.
func importedOnce(t *testing.T, s analytics.Store) {
	var lines []analytics.Imported
	for i, c := range RandomCalls(41, 1500) {
		lines = append(lines, analytics.Imported{Call: c, Hash: [16]byte{byte(i), byte(i >> 8), 1}})
	}
	failed := errors.New("not a call")
	read := func(lines []analytics.Imported, stop bool) (added, known, bad int, err error) {
		added, known, err = s.Import(t.Context(), func(yield func(analytics.Imported, error) bool) {
			for i, line := range lines {
				if i == 1 && !yield(analytics.Imported{}, failed) || !yield(line, nil) {
					return
				}
			}
		}, func(err error) error {
			bad++
			if stop {
				return err
			}
			return nil
		})
		return added, known, bad, err
	}
	for _, step := range []struct {
		from, to          int
		added, known, bad int
	}{{0, 1, 1, 0, 0}, {0, 1500, 1499, 1, 1}, {0, 1500, 0, 1500, 1}} {
		added, known, bad, err := read(lines[step.from:step.to], false)
		if err != nil || added != step.added || known != step.known || bad != step.bad {
			t.Errorf("import gave %d new, %d known, %d bad, %v; want %+v", added, known, bad, err, step)
		}
	}
	if _, _, _, err := read(lines, true); !errors.Is(err, failed) {
		t.Errorf("an import that was ended: %v", err)
	}
	Check(t, s, analytics.Filter{})
}

func projects(t *testing.T, s analytics.Store) {
	call := analytics.Call{Time: Epoch, Agent: "a", Asked: "m", Source: llm.SourceLive}
	for _, project := range []string{"/x/app", "app", "", "/z", "/y/app"} {
		call.Project = project
		add(t, s, call)
	}
	got, err := s.Projects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []analytics.Project{
		{}, {ID: "app", Name: "app (name only)"}, {ID: "/x/app", Name: "x/app", Path: "/x/app"},
		{ID: "/y/app", Name: "y/app", Path: "/y/app"}, {ID: "/z", Name: "z", Path: "/z"},
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	p, err := s.Period(t.Context(), analytics.Filter{Project: "/y/app"})
	if err != nil || p.Project != "y/app" || p.ProjectPath != "/y/app" {
		t.Errorf("%+v, %v", p, err)
	}
}

// attempt returns a call of one attempt that was sent, and perhaps answered.
func attempt(id int64, answered bool) analytics.Call {
	c := analytics.Call{
		Time: Epoch.Add(time.Duration(id) * time.Second), Project: "/app", Run: "r", Agent: "a", Asked: "m", Attempts: 1, Code: llm.CodeIncomplete, Unpriced: true,
		Tries: []analytics.Attempt{{ID: id, Start: Epoch.Add(time.Duration(id) * time.Second), Model: "m", Code: llm.CodeIncomplete, Basis: llm.BasisUnknown, Uncertain: 50}},
	}
	if answered {
		c.Code, c.Source, c.Cost, c.Unpriced = 0, llm.SourceLive, 7, false
		c.Tries[0].Code, c.Tries[0].Basis, c.Tries[0].Cost, c.Tries[0].Uncertain = 0, llm.BasisAnswer, 7, 0
	}
	return c
}

// attemptsAreCountedOnce: by AddOnce if they are known; a call whose attempt is known is a
// call, and its attempt has no id then.
func attemptsAreCountedOnce(t *testing.T, s analytics.Store) {
	add(t, s, attempt(1, true), attempt(2, true))
	if err := s.AddOnce(t.Context(), attempt(2, false), attempt(3, false), attempt(3, false), analytics.Call{Time: Epoch}); err != nil {
		t.Fatal(err)
	}
	if err := s.AddOnce(t.Context(), attempt(3, false)); err != nil {
		t.Fatal(err)
	}
	add(t, s, attempt(3, true)) // its process was taken for dead, and was not
	calls := Stored(t, s)
	if len(calls) != 4 {
		t.Errorf("%d calls; want 4", len(calls))
	}
	v, err := s.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if v.Cost != 21 || v.Uncertain != 50 || v.RunCosts["r"] != 21 || v.RunUncertain["r"] != 50 || v.Attempts != 4 || v.Calls != 4 || v.Days != 1 || v.Runs != 1 {
		t.Errorf("%+v", v)
	}
	if len(v.CallsDiffer)+len(v.DaysDiffer)+len(v.RunsDiffer)+len(v.ToolsDiffer) > 0 {
		t.Errorf("figures differ: %+v", v)
	}
	if cost, err := s.RunCost(t.Context(), "r"); err != nil || cost != 21 {
		t.Errorf("the run cost %v, %v; want 21", cost, err)
	}
	if cost, err := s.RunCost(t.Context(), "none"); err != nil || cost != 0 {
		t.Errorf("a run without calls cost %v, %v", cost, err)
	}
	wrong := attempt(4, true)
	wrong.Cost = 8
	add(t, s, wrong)
	if v, err = s.Verify(t.Context()); err != nil || len(v.CallsDiffer) != 1 || v.CallsDiffer[0].A != 8 || v.CallsDiffer[0].B != 7 {
		t.Errorf("a call that costs more than its attempts: %+v, %v", v.CallsDiffer, err)
	}
}

func longest(t *testing.T, s analytics.Store) {
	call := func(agent, model string, output int, source llm.Source) analytics.Call {
		return analytics.Call{Time: Epoch, Agent: agent, Asked: "asked", Model: model, Source: source, Usage: llm.Usage{OutputTokens: output}}
	}
	add(t, s, call("a", "m", 10, llm.SourceLive), call("a", "m", 30, llm.SourceLive), call("a", "m", 90, llm.SourceCache), call("b", "m", 70, llm.SourceLive), call("a", "n", 50, llm.SourceLive))
	for _, c := range []struct {
		agent, model string
		want         int
	}{{"a", "m", 30}, {"a", "asked", 50}, {"b", "m", 70}, {"c", "m", 0}} {
		if got, err := s.Longest(t.Context(), c.agent, c.model); err != nil || got != c.want {
			t.Errorf("%s, %s: %d, %v; want %d", c.agent, c.model, got, err, c.want)
		}
	}
}

// atOnce adds calls of the same runs and hours, and those of tools, from many sides.
func atOnce(t *testing.T, s analytics.Store) {
	const sides, each = 8, 6
	var all sync.WaitGroup
	for side := range sides {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(side), 5))
			for range each {
				calls := make([]analytics.Call, 20)
				for i := range calls {
					calls[i] = RandomCall(rng)
					calls[i].Tries = []analytics.Attempt{{ID: rng.Int64N(1 << 60), Start: calls[i].Time, Model: calls[i].Model, Cost: calls[i].Cost, Basis: llm.BasisAnswer}}
				}
				if err := s.Add(t.Context(), calls...); err != nil {
					t.Error(err)
				}
				addTools(t, s, rng, 15)
			}
		})
	}
	all.Wait()
	if got := len(Stored(t, s)); got != sides*each*20 {
		t.Errorf("%d calls; want %d", got, sides*each*20)
	}
	if got := toolsByHand(t, s, analytics.Filter{}); got.ToolCalls != sides*each*15 || got.Tasks != sides*each*15 {
		t.Errorf("%d calls of tools and %d tasks; want %d of each", got.ToolCalls, got.Tasks, sides*each*15)
	}
	Check(t, s, analytics.Filter{})
	if v, err := s.Verify(t.Context()); err != nil || len(v.CallsDiffer)+len(v.DaysDiffer)+len(v.RunsDiffer)+len(v.ToolsDiffer) > 0 || v.Tools == 0 || v.Calls != sides*each*20 {
		t.Errorf("%+v, %v", v, err)
	}
}

func closed(t *testing.T, s analytics.Store) {
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if err := s.Add(t.Context(), attempt(1, true)); err == nil {
		t.Error("Add: no error")
	}
	if _, err := s.Summary(t.Context(), analytics.Filter{}); err == nil {
		t.Error("Summary: no error")
	}
	for _, err := range s.Calls(t.Context(), analytics.Filter{}) {
		if err == nil {
			t.Error("Calls: no error")
		}
	}
}

// unreadWrites: of what attempts wrote, that which a later attempt read is no loss,
// whichever project or period it belongs to.
func unreadWrites(t *testing.T, s analytics.Store) {
	attempt := func(project string, minute, read, written int) analytics.Call {
		at := Epoch.Add(time.Duration(minute) * time.Minute)
		u := llm.Usage{InputTokens: 10, CacheReadTokens: read, CacheWrite5m: written}
		return analytics.Call{
			Time: at, Project: project, Agent: "a", Asked: "m", Source: llm.SourceLive, Usage: u, Cost: 500,
			Tries: []analytics.Attempt{{Start: at, Model: "m", Usage: u, Cost: 500, WriteExtra: llm.Money(written / 10)}},
		}
	}
	add(t, s, attempt("/x", 0, 0, 3600), attempt("/x", 1, 0, 4000), attempt("/y", 2, 4000, 0), attempt("/y", 3, 0, 5000), attempt("/y", 62, 5000, 100))
	for name, tt := range map[string]struct {
		f    analytics.Filter
		want analytics.UnreadWrites
	}{
		"all":       {analytics.Filter{}, analytics.UnreadWrites{Writes: 4, Unread: 2, Tokens: 3700, Cost: 370, Written: 1270}},
		"x":         {analytics.Filter{Project: "/x"}, analytics.UnreadWrites{Writes: 2, Unread: 1, Tokens: 3600, Cost: 360, Written: 760}},
		"an hour":   {analytics.Filter{Until: Epoch.Add(time.Hour)}, analytics.UnreadWrites{Writes: 3, Unread: 1, Tokens: 3600, Cost: 360, Written: 1260}},
		"the rest":  {analytics.Filter{Since: Epoch.Add(time.Hour)}, analytics.UnreadWrites{Writes: 1, Unread: 1, Tokens: 100, Cost: 10, Written: 10}},
		"afterward": {analytics.Filter{Since: Epoch.Add(2 * time.Hour)}, analytics.UnreadWrites{}},
	} {
		got, err := s.Unread(t.Context(), tt.f)
		if err != nil {
			t.Fatal(err)
		}
		if got != tt.want {
			t.Errorf("%s: %+v; want %+v", name, got, tt.want)
		}
	}
}

// query returns the columns and rows of a statement.
func query(t *testing.T, s analytics.Store, sql string) (columns []string, rows [][]any, err error) {
	t.Helper()
	err = s.Query(t.Context(), sql, analytics.QueryLimits{}, func(names []string, values []any) error {
		columns = names
		if values != nil {
			rows = append(rows, slices.Clone(values))
		}
		return nil
	})
	return columns, rows, err
}

// views have the same columns, with the same kinds of values, in every store.
func views(t *testing.T, s analytics.Store) {
	call := attempt(1, true)
	call.Time = time.Date(2026, 11, 5, 6, 7, 8, 9_000_000, time.UTC)
	call.Usage, call.Duration, call.Cost, call.Tries[0].Cost, call.Tries[0].Start = llm.Usage{InputTokens: 3, OutputTokens: 4}, 1500*time.Millisecond, 2_500_000_000, 2_500_000_000, call.Time
	call.Workflow, call.Step, call.Item, call.StopReason, call.Key, call.Team = "w", "s", "i", "end_turn", "ci", "web"
	add(t, s, call)
	if err := errors.Join(
		s.AddTools(t.Context(), analytics.ToolCall{Time: call.Time, Project: "/app", Agent: "a", Tool: "Read", Outcome: analytics.ToolDenied, Duration: time.Second}),
		s.AddTasks(t.Context(), analytics.ToolTask{Time: call.Time, Project: "/app", Agent: "a", Model: "m", Turns: 3, ToolCalls: 2, Failed: true, Duration: time.Second}),
	); err != nil {
		t.Fatal(err)
	}
	const at = "2026-11-05T06:07:08.009Z"
	for view, want := range map[string]struct {
		columns []string
		row     []any // nil for what is not compared
	}{
		"calls": {
			[]string{"id", "time", "project", "workflow", "run", "step", "item", "agent", "model_asked", "model", "source", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens",
				"cost_usd", "saved_usd", "saved_cache_usd", "saved_coalesced_usd", "saved_prompt_usd", "saved_batch_usd", "saved_model_usd", "seconds", "first_token_seconds", "attempts", "outcome", "stop_reason",
				"service_seconds", "waited_seconds", "batch", "project_path", "refused", "uncertain_usd", "key", "team"},
			[]any{nil, at, "app", "w", "r", "s", "i", "a", "m", "m", "live", int64(3), int64(4), int64(0), int64(0), 2.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.5, nil, int64(1), "ok", "end_turn", nil, nil, int64(0), "/app", int64(0), 0.0, "ci", "web"},
		},
		"attempts": {
			[]string{"call", "number", "time", "model", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cost_usd", "basis", "seconds", "first_token_seconds", "outcome", "cache_write_extra_usd", "uncertain_usd"},
			[]any{nil, int64(1), at, "m", int64(0), int64(0), int64(0), int64(0), 2.5, "answer", 0.0, nil, "ok", 0.0, 0.0},
		},
		"hourly": {
			[]string{"hour", "kind", "project", "value", "source", "calls", "failed", "retries", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cost_usd", "saved_usd", "seconds", "longest_seconds", "project_path", "refused", "uncertain_usd"},
			[]any{"2026-11-05T06:00:00Z", "agent", "app", "a", "live", int64(1), int64(0), int64(0), int64(3), int64(4), int64(0), int64(0), 2.5, 0.0, 1.5, 1.5, "/app", int64(0), 0.0},
		},
		"daily": {
			[]string{"day", "kind", "project", "value", "source", "calls", "failed", "retries", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cost_usd", "saved_usd", "seconds", "longest_seconds", "project_path", "refused", "uncertain_usd"},
			[]any{"2026-11-05", "agent", "app", "a", "live", int64(1), int64(0), int64(0), int64(3), int64(4), int64(0), int64(0), 2.5, 0.0, 1.5, 1.5, "/app", int64(0), 0.0},
		},
		"workflow_runs": {
			[]string{"run", "project", "workflow", "began", "calls", "cost_usd", "seconds", "sequential_seconds", "project_path"},
			[]any{"r", "app", "w", at, int64(1), 2.5, 1.5, 1.5, "/app"},
		},
		"tool_calls": {
			[]string{"id", "time", "project", "workflow", "run", "step", "item", "agent", "tool", "outcome", "seconds", "project_path"},
			[]any{nil, at, "app", "", "", "", "", "a", "Read", "denied", 1.0, "/app"},
		},
		"tool_tasks": {
			[]string{"id", "time", "project", "workflow", "run", "step", "item", "agent", "model", "turns", "tool_calls", "outcome", "seconds", "project_path"},
			[]any{nil, at, "app", "", "", "", "", "a", "m", int64(3), int64(2), "failed", 1.0, "/app"},
		},
	} {
		sql := `SELECT * FROM ` + view
		if view == "hourly" || view == "daily" {
			sql += ` WHERE kind = 'agent'`
		}
		columns, rows, err := query(t, s, sql)
		if err != nil || len(rows) != 1 {
			t.Errorf("%s: %d rows, %v", view, len(rows), err)
			continue
		}
		if diff := gocmp.Diff(want.columns, columns); diff != "" {
			t.Errorf("columns of %s:\n%s", view, diff)
		}
		for i, v := range want.row {
			if v != nil && rows[0][i] != v {
				t.Errorf("%s of %s is %v (%T); want %v (%T)", columns[i], view, rows[0][i], rows[0][i], v, v)
			}
		}
	}
}

func queriesReadViewsOnly(t *testing.T, s analytics.Store) {
	add(t, s, RandomCalls(1, 50)...)
	for _, sql := range []string{
		`SELECT agent, count(*), sum(cost_usd) FROM calls GROUP BY agent`, `SELECT * FROM hourly`, `SELECT * FROM daily`, `SELECT * FROM workflow_runs`,
		`WITH x AS (SELECT * FROM calls) SELECT count(*) FROM x;`, `SELECT count(*), count(*) FROM calls WHERE time >= '2026-11-05' AND outcome = 'ok'`,
		`SELECT c.agent, upper(c.model), round(avg(h.calls)) FROM calls c JOIN hourly h ON h.value = c.agent GROUP BY c.agent, c.model ORDER BY 1`,
	} {
		if _, rows, err := query(t, s, sql); err != nil || len(rows) == 0 {
			t.Errorf("%s: %d rows, %v", sql, len(rows), err)
		}
	}
	if _, rows, err := query(t, s, `SELECT count(*) FROM calls`); err != nil || len(rows) != 1 || rows[0][0] != int64(50) {
		t.Errorf("count: %v, %v", rows, err)
	}
	for _, sql := range []string{
		``, `SELECT`, `DELETE FROM call_rows`, `DROP VIEW calls`, `SELECT 1; DELETE FROM call_rows`, `BEGIN`, `SELECT * FROM nothing`,
		`SELECT * FROM call_rows`, `SELECT * FROM call_state, calls`, `UPDATE calls SET agent = 'x'`, `INSERT INTO calls SELECT * FROM calls`,
	} {
		if _, _, err := query(t, s, sql); err == nil {
			t.Errorf("%q was run", sql)
		} else if _, ok := errors.AsType[*analytics.QueryError](err); !ok {
			t.Errorf("%q: %v is no QueryError", sql, err)
		}
	}
	if len(Stored(t, s)) != 50 {
		t.Error("a query changed the calls")
	}
	stopped := errors.New("stopped")
	if err := s.Query(t.Context(), `SELECT * FROM calls`, analytics.QueryLimits{}, func([]string, []any) error { return stopped }); !errors.Is(err, stopped) {
		t.Errorf("after a row failed: %v", err)
	}
	err := s.Query(t.Context(), `SELECT a.* FROM calls a, calls b, calls c, calls d, calls e`, analytics.QueryLimits{Result: 1 << 20}, func([]string, []any) error { return nil })
	if _, ok := errors.AsType[*analytics.QueryError](err); !ok {
		t.Errorf("a result that is too large: %v", err)
	}
}
