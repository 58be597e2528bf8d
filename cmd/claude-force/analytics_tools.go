package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/internal/amount"
	"github.com/claude-force/claude-force/internal/csvtext"
)

func (a *app) analyticsTools() *cobra.Command {
	var workflow string
	return a.reportVerb(reportVerb{
		use: "tools", rows: singleCalls, short: "What agents do with tools: turns, calls, time, failures, denials",
		long: `Calls of tools and turns of agents, by tool and by agent. A turn is one call of the
model. --csv has a row for each tool of each agent.`,
		example: `  claude-force analytics tools --days 30
  claude-force analytics tools --workflow review --json | jq '.tools[] | select(.denied > 0)'`,
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringVar(&workflow, "workflow", "", "only calls in runs of the workflow of this name")
		},
		make: func(ctx context.Context, store analytics.Store, f analytics.Filter) (*report, any, error) {
			use, err := store.Tools(ctx, f, workflow)
			if err != nil {
				return nil, nil, err
			}
			return toolsReport(use), toolsTable{use}, nil
		},
	})
}

// toolsTable is figures of tools, with a row for each tool of each agent as CSV.
type toolsTable struct{ *analytics.ToolUse }

func (t toolsTable) writeCSV(w io.Writer) error { return csvtext.WriteTable(w, t.Pairs()) }

const noTools = "No agent with tools ran in this period."

func toolsReport(use *analytics.ToolUse) *report {
	r := &report{title: "Tools"}
	if use.Tasks == 0 && use.Calls == 0 {
		r.sections = []section{{empty: noTools + " Those on the simulator are not kept."}}
		return r
	}
	tools := section{title: "By tool", columns: append(words("TOOL"), numbers("CALLS", "FAILED", "DENIED", "P50", "P95", "TIME")...), bars: []float64{}, empty: "No tool was called."}
	for _, g := range use.Tools {
		tools.rows = append(tools.rows, append([]string{g.Tool}, toolCells(&g.ToolFigures)...))
		tools.bars = append(tools.bars, float64(g.Calls))
	}
	agents := section{title: "By agent", columns: append(words("AGENT"), numbers("TASKS", "TURNS", "P50", "P90", "CALLS", "FAILED", "DENIED", "P50", "P95", "TIME")...), bars: []float64{}}
	for _, g := range use.Agents {
		agents.rows = append(agents.rows, append([]string{named(g.Agent, "(none)"), amount.Thousands(int(g.Tasks)), amount.Thousands(int(g.Turns)), turns(g.TurnsP50, g.Tasks), turns(g.TurnsP90, g.Tasks)}, toolCells(&g.ToolFigures)...))
		agents.bars = append(agents.bars, float64(g.Turns))
	}
	r.sections = []section{tools, agents}
	r.notes = []string{"TURNS are calls of the model, with P50 and P90 those of one task. Times are of calls that ran, within " + percent(analytics.Accuracy) + ", waiting for permission and sub-agents included; FAILED has calls of tools that the agent does not have."}
	return r
}

func turns(n float64, tasks int64) string {
	if tasks == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f", n)
}

// toolCells returns the cells CALLS to TIME.
func toolCells(f *analytics.ToolFigures) []string {
	p50, p95 := "-", "-"
	if f.Seconds.Count > 0 {
		p50, p95 = amount.Seconds(f.Seconds.P50), amount.Seconds(f.Seconds.P95)
	}
	return []string{amount.Thousands(int(f.Calls)), amount.Thousands(int(f.Failed + f.Unknown)), amount.Thousands(int(f.Denied)), p50, p95, amount.Seconds(f.Total)}
}
