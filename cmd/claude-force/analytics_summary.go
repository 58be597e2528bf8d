package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/internal/amount"
)

func (a *app) analyticsSummary() *cobra.Command {
	var by string
	return a.reportVerb(reportVerb{
		use: "summary", short: "The figures of a period: cost, savings, hit rate, latency, speed-up",
		long: `The figures of a period: cost, savings, hit rate, latency, speed-up. With --by also
those of each agent, key, team and the like; --csv has these alone.`,
		example: `  claude-force analytics summary --days 7
  claude-force analytics summary --by key --days 30
  claude-force analytics summary --since 2026-11-01 --until 2026-11-07 --project .
  claude-force analytics summary --json | jq .cache_hit_rate
  claude-force analytics summary --html report.html`,
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringVar(&by, "by", "", "also by one of day, week, month, agent, model, workflow, source, project, key or team")
		},
		make: func(ctx context.Context, store analytics.Store, f analytics.Filter) (*report, any, error) {
			if by != "" {
				return summaryBy(ctx, store, f, analytics.Dimension(by))
			}
			s, err := store.Summary(ctx, f)
			if err != nil {
				return nil, nil, err
			}
			return summaryReport(s), s, nil
		},
		more: breakdown,
	})
}

// groupedSummary is the figures of `analytics summary --by`.
type groupedSummary struct {
	*analytics.Summary
	table costTable
}

// MarshalJSON implements [json.Marshaler].
func (s groupedSummary) MarshalJSON() ([]byte, error) { return json.Marshal(s.Summary) }

// writeCSV writes a row for each group.
func (s groupedSummary) writeCSV(w io.Writer) error { return s.table.writeCSV(w) }

// summaryBy returns the figures of a period and of its groups by a dimension, to show and
// as JSON.
func summaryBy(ctx context.Context, store analytics.Store, f analytics.Filter, by analytics.Dimension) (*report, any, error) {
	dims := []analytics.Dimension{by}
	if strings.Contains(string(by), ",") {
		return nil, nil, badInput("--by takes one dimension; for %s use: claude-force analytics costs --by %[1]s", by)
	}
	if err := analytics.CheckCostDimensions(dims); err != nil {
		return nil, nil, badInput("--by %w", err)
	}
	s, groups, err := analytics.SummaryBy(ctx, store, f, by)
	if err != nil {
		return nil, nil, err
	}
	r := summaryReport(s)
	if len(groups) > 0 {
		sec := groupsSection(strings.ToUpper(string(by)), groups)
		sec.title = "By " + string(by)
		r.sections = append(r.sections, sec)
		r.notes = append(r.notes, latencyNote)
	}
	t := costTable{by: dims, groups: groups}
	for _, row := range s.Groups {
		if row.Path != nil {
			t.paths = append(t.paths, *row.Path)
		}
	}
	return r, groupedSummary{s, t}, nil
}

// breakdown shows which agents made the calls, and what saved money.
func breakdown(ctx context.Context, store analytics.Store, f analytics.Filter) ([]section, error) {
	agents, err := store.Groups(ctx, f, analytics.ByAgent)
	if err != nil || len(agents) == 0 {
		return nil, err
	}
	models, err := store.Costs(ctx, f, analytics.ByModel)
	if err != nil {
		return nil, err
	}
	workflows, err := store.Costs(ctx, f, analytics.ByWorkflow)
	if err != nil {
		return nil, err
	}
	s, err := store.Summary(ctx, f)
	if err != nil {
		return nil, err
	}
	list := []section{groupsSection("AGENT", agents), costSection([]analytics.Dimension{analytics.ByModel}, models), costSection([]analytics.Dimension{analytics.ByWorkflow}, workflows), savingsSection(s.SavedUSD)}
	for i, title := range []string{"Agents", "Models", "Workflows", "Savings"} {
		list[i].title = title
	}
	use, err := store.Tools(ctx, f, "")
	if err != nil {
		return nil, err
	}
	if use.Tasks > 0 || use.Calls > 0 {
		tools := toolsReport(use).sections
		tools[0].title, tools[1].title = "Tools", "Agents with tools"
		list = append(list, tools...)
	}
	return list, nil
}

func summaryReport(s *analytics.Summary) *report {
	r := &report{title: "Summary", days: true}
	if s.Calls == 0 {
		r.sections = []section{{empty: noCalls}}
		return r
	}
	answers := fmt.Sprintf("%s live, %s cached, %s shared", amount.Thousands(int(s.Live)), amount.Thousands(int(s.Cached)), amount.Thousands(int(s.Coalesced)))
	figures := [][]string{
		{"calls", amount.Thousands(int(s.Calls)), answers},
		{"failed", amount.Thousands(int(s.Failed)), percent(s.FailureRate) + ", " + plural(int(s.Retries-s.Refused), "retry")},
		{"cache hit rate", percent(s.CacheHitRate), ""},
		{"cost", dollars(&s.CostUSD), ""},
		{"saved", dollars(&s.SavedUSD.Total), ""},
		{"tokens", amount.Thousands(int(s.InputTokens + s.OutputTokens)), fmt.Sprintf("%s in, %s out", amount.Thousands(int(s.InputTokens)), amount.Thousands(int(s.OutputTokens)))},
	}
	if s.Refused > 0 {
		figures[1][2] += ", " + plural(int(s.Refused), "refusal") + " for a rate limit"
	}
	if s.Unpriced > 0 {
		figures[3][2] = "without " + plural(int(s.Unpriced), "call") + " of unknown cost"
	}
	if s.UncertainUSD > 0 {
		figures = slices.Insert(figures, 4, []string{"uncertain", dollars(&s.UncertainUSD), "may have been billed beyond the cost, for attempts that broke off or were killed"})
	}
	if s.CostSavings != nil {
		figures[len(figures)-2][2] = percent(*s.CostSavings) + " of what it would have cost"
	}
	if l := s.Latency; l.Count > 0 {
		figures = append(figures, []string{"latency of the service", amount.Seconds(l.P50), fmt.Sprintf("p95 %s, p99 %s (±%s)", amount.Seconds(l.P95), amount.Seconds(l.P99), percent(l.Error))})
	}
	if s.Waited != nil {
		figures = append(figures, []string{"waited before it", amount.Seconds(*s.Waited), "a call, for a slot, a limit or a budget"})
	}
	if l := s.HitLatency; l.Count > 0 {
		figures = append(figures, []string{"latency, free", amount.Seconds(l.P50), fmt.Sprintf("p95 %s, p99 %s", amount.Seconds(l.P95), amount.Seconds(l.P99))})
	}
	if t := s.Tools; t != nil {
		figures = append(figures, []string{"turns with tools", amount.Thousands(int(t.Turns)), "of " + plural(int(t.Tasks), "task")},
			[]string{"tool calls", amount.Thousands(int(t.ToolCalls)), fmt.Sprintf("%s failed, %s denied", amount.Thousands(int(t.Failed+t.Unknown)), amount.Thousands(int(t.Denied)))})
	}
	days := series{name: "calls"}
	costs := series{name: "cost", unit: "$"}
	for _, d := range s.Daily {
		days.labels, days.values = append(days.labels, d.Day), append(days.values, float64(d.Calls))
		costs.labels, costs.values = append(costs.labels, d.Day), append(costs.values, d.CostUSD)
	}
	r.sections = []section{
		{columns: []column{{}, {number: true}, {}}, rows: figures},
		{title: "By day (" + dayZone(s) + ")", series: []series{days.withEmpty(), costs.withEmpty()}},
		{title: "Before and after", columns: append(words(""), numbers("BEFORE", "AFTER", "")...), rows: beforeAfter(s)},
	}
	return r
}

func dayZone(s *analytics.Summary) string {
	if s.Period.Zone == time.Local.String() {
		return zoneName(time.Local)
	}
	return s.Period.Zone
}

// beforeAfter compares with the same calls one after the other, none of them
// free.
func beforeAfter(s *analytics.Summary) [][]string {
	var rows [][]string
	add := func(name string, before, after *float64, show func(float64) string, gain string) {
		if before != nil && after != nil {
			rows = append(rows, []string{name, show(*before), show(*after), gain})
		}
	}
	gain := ""
	if s.Speedup != nil {
		gain = fmt.Sprintf("%.2fx faster", *s.Speedup)
	}
	add("time of a workflow", s.TimeBefore, s.TimeAfter, amount.Seconds, gain)
	gain = ""
	if s.CostSavings != nil {
		gain = percent(*s.CostSavings) + " saved"
	}
	add("cost of a call", s.CostBefore, s.CostAfter, func(usd float64) string { return dollars(&usd) }, gain)
	add("calls an hour", s.RateBefore, s.RateAfter, func(n float64) string { return amount.Thousands(int(n)) }, "")
	return rows
}
