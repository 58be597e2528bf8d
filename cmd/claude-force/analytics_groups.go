package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/internal/amount"
)

func waited(t *analytics.Totals) string {
	if t.Served == 0 {
		return "-"
	}
	return amount.Seconds(*analytics.PerCall(t.Waited, t.Served))
}

func groupName(g *analytics.Group, none string) string {
	return named(g.Name, none)
}

func (a *app) analyticsAgents() *cobra.Command {
	return a.reportVerb(reportVerb{
		use: "agents", short: "Which agents are used, slow, failing or expensive",
		example: `  claude-force analytics agents --days 30
  claude-force analytics agents --json | jq '.[] | select(.failed > 0)'`,
		make: func(ctx context.Context, store analytics.Store, f analytics.Filter) (*report, any, error) {
			groups, err := store.Groups(ctx, f, analytics.ByAgent)
			if err != nil {
				return nil, nil, err
			}
			return &report{title: "Agents", sections: []section{groupsSection("AGENT", groups)}, notes: []string{latencyNote}}, analytics.FiguresOf(groups), nil
		},
	})
}

// groupsSection returns the figures of groups, under a heading for their names.
func groupsSection(head string, groups []analytics.Group) section {
	s := section{columns: append(words(head), numbers("CALLS", "HITS", "FAILED", "P50", "P95", "WAIT", "COST", "SAVED")...), bars: []float64{}, empty: noCalls}
	s.columns[6].spare = true // WAIT
	for i := range groups {
		g := &groups[i]
		s.rows = append(s.rows, []string{
			groupName(g, "(none)"), amount.Thousands(int(g.Calls)), percent(g.HitRate()), percent(g.FailureRate()),
			latency(&g.ServiceLatency, 0.5), latency(&g.ServiceLatency, 0.95), waited(&g.Totals), money(g.Cost), money(g.Saved.Total()),
		})
		s.bars = append(s.bars, g.Cost.USD())
	}
	return s
}

const noCalls = "No calls in this period. Calls to the simulator are not kept."

var latencyNote = "P50 and P95 are the service's own time to answer, within " + percent(analytics.Accuracy) + ", without batches; WAIT is the mean time before it, for a slot, a limit or a budget. Bars show the cost."

func latency(s *analytics.Sketch, q float64) string {
	if s.Count() == 0 {
		return "-"
	}
	return amount.Seconds(s.Quantile(q).Seconds())
}

func (a *app) analyticsWorkflows() *cobra.Command {
	return a.reportVerb(reportVerb{
		use: "workflows", short: "What workflows cost, how long they take, and how much faster they are than step by step",
		example: `  claude-force analytics workflows --days 30`,
		make: func(ctx context.Context, store analytics.Store, f analytics.Filter) (*report, any, error) {
			groups, err := store.Groups(ctx, f, analytics.ByWorkflow)
			if err != nil {
				return nil, nil, err
			}
			groups = slices.DeleteFunc(slices.Clone(groups), func(g analytics.Group) bool { return g.Name == "" && g.Runs == 0 })
			s := section{columns: append(words("WORKFLOW"), numbers("RUNS", "CALLS", "TIME", "BEFORE", "SPEEDUP", "FAILED", "COST", "SAVED")...), bars: []float64{}, empty: "No calls of workflows in this period."}
			list := analytics.FiguresOf(groups)
			for i := range groups {
				g, j := &groups[i], &list[i]
				after, before, speedup := "-", "-", "-"
				if g.Runs > 0 {
					after, before, speedup = amount.Seconds(j.TimeAfter), amount.Seconds(j.TimeBefore), "-"
				}
				if j.Speedup > 0 {
					speedup = fmt.Sprintf("%.2fx", j.Speedup)
				}
				s.rows = append(s.rows, []string{
					groupName(g, "(unnamed)"), amount.Thousands(int(g.Runs)), amount.Thousands(int(g.Calls)), after, before, speedup,
					percent(g.FailureRate()), money(g.Cost), money(g.Saved.Total()),
				})
				s.bars = append(s.bars, g.Cost.USD())
			}
			return &report{title: "Workflows", sections: []section{s}, notes: []string{"TIME is that of a run on average, BEFORE what the service took for its answers, one after the other; free answers are in neither SPEEDUP nor BEFORE; bars show the cost."}}, list, nil
		},
	})
}

func (a *app) analyticsSavings() *cobra.Command {
	return a.reportVerb(reportVerb{
		use: "savings", short: "What was not paid, and why: cache, coalescing, prompt cache, batch, model choice",
		example: `  claude-force analytics savings --days 30`,
		make: func(ctx context.Context, store analytics.Store, f analytics.Filter) (*report, any, error) {
			s, err := store.Summary(ctx, f)
			if err != nil {
				return nil, nil, err
			}
			unread, err := store.Unread(ctx, f)
			if err != nil {
				return nil, nil, err
			}
			v := s.SavedUSD
			r := &report{title: "Savings", sections: []section{savingsSection(v)}}
			if unread.Writes > 0 {
				r.sections = append(r.sections, unreadSection(unread))
				_, notes, err := sinceRows(ctx, store, f)
				if err != nil {
					return nil, nil, err
				}
				r.notes = append(r.notes, notes...)
			}
			before := s.CostUSD + v.Total
			r.notes = append(r.notes, fmt.Sprintf("Paid %s of %s: %s saved.", dollars(&s.CostUSD), dollars(&before), amount.Dollars(v.Total)))
			return r, savingsJSON{s.Period, s.CostUSD, v, before, unreadJSON{unread.Writes, unread.Unread, unread.Tokens, unread.Cost.USD(), unread.Written.USD()}}, nil
		},
	})
}

// savingsJSON is the figures of `analytics savings --json`.
type savingsJSON struct {
	Period  analytics.Period     `json:"period"`
	CostUSD float64              `json:"cost_usd"`
	Saved   analytics.SavingsUSD `json:"saved_usd"`
	Before  float64              `json:"cost_before_usd"`
	Unread  unreadJSON           `json:"prompt_cache_writes"`
}

// unreadJSON is what was written to the prompt cache, in savingsJSON.
type unreadJSON struct {
	Writes  int     `json:"writes"`
	Unread  int     `json:"not_read"`
	Tokens  int     `json:"tokens_not_read"`
	Loss    float64 `json:"loss_usd"`  // of what was not read, above the plain price
	Written float64 `json:"extra_usd"` // of all that was written, above the plain price
}

// unreadSection shows what writing to the prompt cache cost, and what of it was for
// nothing.
func unreadSection(u analytics.UnreadWrites) section {
	return section{
		title: "Written to the prompt cache", columns: numbers("WRITES", "EXTRA COST", "NOT READ", "TOKENS NOT READ", "LOSS"),
		rows: [][]string{{amount.Thousands(u.Writes), money(u.Written), amount.Thousands(u.Unread), amount.Thousands(u.Tokens), amount.Dollars(-u.Cost.USD())}},
	}
}

func savingsSection(v analytics.SavingsUSD) section {
	sec := section{columns: append(words("BY"), numbers("SAVED", "SHARE")...), bars: []float64{}}
	prompt := "prompt cache"
	if v.Prompt < 0 {
		prompt = "prompt cache (a loss: what was written cost more than reading it saved)"
	}
	for _, row := range []struct {
		name string
		usd  float64
	}{{"exact cache", v.Cache}, {"coalescing", v.Coalesced}, {prompt, v.Prompt}, {"batch", v.Batch}, {"model choice", v.Model}} {
		part := 0.0
		if v.Total > 0 {
			part = row.usd / v.Total
		}
		sec.rows = append(sec.rows, []string{row.name, amount.Dollars(row.usd), percent(part)})
		sec.bars = append(sec.bars, row.usd)
	}
	return sec
}
