package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/internal/amount"
	"github.com/claude-force/claude-force/internal/csvtext"
)

func (a *app) analyticsCosts() *cobra.Command {
	var by []string
	return a.reportVerb(reportVerb{
		use: "costs", short: "What was paid, by day, week, month, agent, model, workflow, source, project, key or team",
		long: `What was paid, by one of day, week, month, agent, model, workflow, source, project,
key and team, or by several of them: --by project,agent,day has a row for each agent
of each project on each day. Keys and teams are those of "claude-force serve"; what
was made without one has none.`,
		example: `  claude-force analytics costs --by model --days 30
  claude-force analytics costs --by project,agent,day --since 2026-11-01 --csv > costs.csv
  claude-force analytics costs --by team --days 30
  claude-force analytics costs --by day --since 2026-11-01 --html costs.html`,
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringSliceVar(&by, "by", []string{"day"}, "day, week, month, agent, model, workflow, source, project, key or team; several with commas")
		},
		rows: func() bool { return analytics.FromRows(dimensionsOf(by)...) },
		make: func(ctx context.Context, store analytics.Store, f analytics.Filter) (*report, any, error) {
			dims := dimensionsOf(by)
			if err := analytics.CheckCostDimensions(dims); err != nil {
				return nil, nil, badInput("--by %w", err)
			}
			groups, paths, err := analytics.CostGroups(ctx, store, f, dims...)
			if err != nil {
				return nil, nil, err
			}
			t := &costTable{by: dims, groups: groups, paths: paths}
			return t.report(), t, nil
		},
	})
}

func dimensionsOf(by []string) []analytics.Dimension {
	dims := make([]analytics.Dimension, len(by))
	for i, name := range by {
		dims[i] = analytics.Dimension(strings.TrimSpace(name))
	}
	return dims
}

// costTable is the figures of `analytics costs`.
type costTable struct {
	by     []analytics.Dimension
	groups []analytics.Group // with the names that are shown
	paths  []string          // of their projects; nil if not by project
}

func (t *costTable) report() *report {
	s := costSection(t.by, t.groups)
	if len(t.by) == 1 && t.by[0].Calendar() {
		line := series{name: "cost", unit: "$"}
		for i := range t.groups {
			line.labels, line.values = append(line.labels, t.groups[i].Name), append(line.values, t.groups[i].Cost.USD())
		}
		s.series = []series{line.withEmpty()}
	}
	var sum analytics.Totals
	for i := range t.groups {
		sum.Add(&t.groups[i].Totals)
	}
	names := make([]string, len(t.by))
	for i, d := range t.by {
		names[i] = string(d)
	}
	days := slices.ContainsFunc(t.by, analytics.Dimension.Calendar)
	r := &report{days: days, title: "Costs by " + strings.Join(names, ", "), sections: []section{s}, notes: []string{fmt.Sprintf("In all %s for %s.", money(sum.Cost), plural(int(sum.Calls), "call"))}}
	if sum.Unpriced > 0 {
		r.notes = append(r.notes, fmt.Sprintf("The cost of %s is unknown and not in the sums.", plural(int(sum.Unpriced), "call")))
	}
	if sum.Uncertain > 0 {
		r.notes = append(r.notes, fmt.Sprintf("Up to %s more may have been billed, for attempts that broke off or whose process was killed.", money(sum.Uncertain)))
	}
	return r
}

// MarshalJSON implements [json.Marshaler].
func (t *costTable) MarshalJSON() ([]byte, error) {
	return json.Marshal(analytics.CostRows(t.by, t.groups, t.paths))
}

// writeCSV writes a column for each dimension, then the figures.
func (t *costTable) writeCSV(w io.Writer) error {
	out := csvtext.New(w)
	kind := reflect.TypeFor[analytics.Figures]()
	head := csvtext.Head(kind)
	if len(t.by) > 1 {
		names := make([]any, len(t.by))
		for i, d := range t.by {
			names[i] = string(d)
		}
		head = append(names, head[1:]...)
	}
	if t.paths != nil {
		head = append(head, "project_path")
	}
	out.Row(head...)
	for i, g := range analytics.FiguresOf(t.groups) {
		var row []any
		for _, name := range t.groups[i].Names {
			row = append(row, name)
		}
		row = append(row, csvtext.Values(reflect.ValueOf(g), kind)[1:]...)
		if t.paths != nil {
			row = append(row, t.paths[i])
		}
		out.Row(row...)
	}
	return out.Flush()
}

func costSection(by []analytics.Dimension, groups []analytics.Group) section {
	heads := make([]string, len(by))
	for i, d := range by {
		heads[i] = strings.ToUpper(string(d))
	}
	s := section{columns: append(words(heads...), numbers("CALLS", "TOKENS IN", "OUT", "COST", "SAVED")...), bars: []float64{}, empty: noCalls}
	for i := range groups {
		g := &groups[i]
		var cells []string
		for _, name := range g.Names {
			cells = append(cells, named(name, "(none)"))
		}
		s.rows = append(s.rows, append(cells, amount.Thousands(int(g.Calls)), amount.Thousands(g.Usage.PromptTokens()), amount.Thousands(g.Usage.OutputTokens), money(g.Cost), money(g.Saved.Total())))
		s.bars = append(s.bars, g.Cost.USD())
	}
	return s
}
