//go:build unix

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsql"
	"github.com/claude-force/claude-force/bench/suite"
	"github.com/claude-force/claude-force/internal/tablecopy"
	"github.com/claude-force/claude-force/llm"
)

// days is how many days of UTC the stores of the part growth have calls of, alike but for
// their time. The last one is today.
const days = 60

// firstDay returns when the first of the days begins.
func firstDay() time.Time {
	return time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, 1-days)
}

// dayCalls makes the n calls of a day, in the order of time. Of 64 of them, 48 are of one run.
func dayCalls(n, day int) func(yield func(analytics.Call) bool) {
	return func(yield func(analytics.Call) bool) {
		rng := rand.New(rand.NewPCG(1, uint64(n)))
		start := firstDay().AddDate(0, 0, day)
		for i := range n {
			c := analytics.Call{
				Time: start.Add(time.Duration(float64(24*time.Hour) / float64(n) * float64(i))), Project: "project-" + strconv.Itoa(rng.IntN(3)),
				Agent: "agent-" + strconv.Itoa(rng.IntN(20)), Asked: "haiku", Model: [...]string{"haiku", "sonnet", "opus"}[rng.IntN(3)],
				Usage: llm.Usage{InputTokens: 200 + rng.IntN(4000), OutputTokens: 50 + rng.IntN(1500)}, Attempts: 1, StopReason: "end_turn",
			}
			if i%64 < 48 {
				c.Project, c.Workflow, c.Step = "project-"+strconv.Itoa(i/64%3), "workflow-"+strconv.Itoa(i/64%5), "step-"+strconv.Itoa(i%8)
				c.Run = fmt.Sprintf("run_%02d_%d", day, i/64)
			}
			suite.DrawEnd(rng, &c)
			c.Alone = c.Duration // else an estimate, which depends on the days before
			if !yield(c) {
				return
			}
		}
	}
}

// toolsEvery is for how many calls there is one call of a tool, and one task with tools for
// five of these.
const toolsEvery = 10

// addDay adds the calls of a day to a store, and what agents did with tools.
func addDay(ctx context.Context, s analytics.Writer, n, day int) error {
	const batch = 1000
	var calls []analytics.Call
	var tools []analytics.ToolCall
	var tasks []analytics.ToolTask
	i := 0
	for c := range dayCalls(n, day) {
		if calls = append(calls, c); len(calls) == batch {
			if err := s.Add(ctx, calls...); err != nil {
				return err
			}
			calls = calls[:0]
		}
		if i++; i%toolsEvery == 0 {
			tools = append(tools, analytics.ToolCall{Time: c.Time, Project: c.Project, Workflow: c.Workflow, Run: c.Run, Step: c.Step, Agent: c.Agent, Tool: [...]string{"Read", "Bash", "Edit"}[i/10%3], Outcome: analytics.ToolOutcome(i / 10 % 4), Duration: time.Second})
		}
		if i%(5*toolsEvery) == 0 {
			tasks = append(tasks, analytics.ToolTask{Time: c.Time, Project: c.Project, Workflow: c.Workflow, Run: c.Run, Step: c.Step, Agent: c.Agent, Model: c.Model, Turns: i % 7, ToolCalls: 5, Duration: time.Second})
		}
	}
	if err := s.Add(ctx, calls...); err != nil {
		return err
	}
	for part := range slices.Chunk(tools, batch) {
		if err := s.AddTools(ctx, part...); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(tasks, batch) {
		if err := s.AddTasks(ctx, part...); err != nil {
			return err
		}
	}
	return nil
}

// repeated are the tables of which a day has rows, with their columns, and sums those that
// a file keeps by itself when it gets rows.
var (
	repeated = map[string]string{
		"call_rows": callsql.CopiedRows, "call_rollups": callsql.CopiedRollups, "call_runs": callsql.CopiedRuns,
		"call_tools": callsql.CopiedTools, "call_tool_tasks": callsql.CopiedToolTasks,
	}
	sums = map[string]string{"call_tool_sums": "start int, project text, tool_calls int, failed int, denied int, unknown int, tasks int, turns int"}
)

// keepFirst returns the statements that keep what a store has of the first day, its only one,
// in tables that create makes.
func keepFirst(create string, tables map[string]string) (list []string) {
	for table := range tables {
		list = append(list, fmt.Sprintf("%s first_%s AS SELECT * FROM %s", create, table, table))
	}
	return list
}

// repeatDay returns the statements that add the rows of another day: those of the first one
// with their times moved, runs of the other day, and ids that are higher by so many.
func repeatDay(day int, tables map[string]string, ids func(table string) int) (list []string) {
	for table, columns := range tables {
		all := tablecopy.Columns(columns)
		moved := func(c tablecopy.Column) string {
			run := fmt.Sprintf("'run_%02d' || substr(%s, 7)", day, c.Name)
			switch {
			case c.Name == "time" || c.Name == "began" || c.Name == "ended":
				return fmt.Sprintf("%s + %d", c.Name, int64(day)*int64(24*time.Hour))
			case c.Name == "start":
				return fmt.Sprintf("%s + %d", c.Name, day*86400)
			case c.Name == "run":
				return "CASE WHEN run = '' THEN '' ELSE " + run + " END"
			case c.Name == "id" && c.Type == tablecopy.Text:
				return run
			case c.Name == "id":
				return fmt.Sprintf("id + %d", day*ids(table))
			}
			return c.Name
		}
		name := func(c tablecopy.Column) string { return c.Name }
		list = append(list, "INSERT INTO "+table+" ("+tablecopy.Names(all, name)+") SELECT "+tablecopy.Names(all, moved)+" FROM first_"+table)
	}
	return list
}
