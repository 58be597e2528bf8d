package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/internal/amount"
)

// shortTime leaves the year to the heading.
const shortTime = "01-02 15:04:05"

// singleCalls reports that a view shows single calls.
func singleCalls() bool { return true }

func (a *app) analyticsSlowest() *cobra.Command {
	var limit int
	return a.reportVerb(reportVerb{
		use: "slowest", rows: singleCalls, short: "The calls that the service took longest to answer",
		example: `  claude-force analytics slowest --limit 20 --project .`,
		flags:   func(cmd *cobra.Command) { cmd.Flags().IntVarP(&limit, "limit", "n", 10, "how many") },
		make: func(ctx context.Context, store analytics.Store, f analytics.Filter) (*report, any, error) {
			if limit < 1 {
				return nil, nil, badInput("--limit must be above 0")
			}
			calls, err := store.Slowest(ctx, f, limit)
			if err != nil {
				return nil, nil, err
			}
			known, err := knownProjects(ctx, store)
			if err != nil {
				return nil, nil, err
			}
			s := section{columns: append(words("WHEN", "AGENT", "MODEL", "RUN", "STEP"), numbers("TOKENS OUT", "COST", "SERVICE", "WAITED")...), bars: []float64{}, empty: noCalls}
			rows := make([]analytics.CallRow, len(calls))
			for i := range calls {
				c := &calls[i]
				rows[i] = rowOf(c, known)
				s.rows = append(s.rows, []string{
					c.Time.In(f.In()).Format(shortTime), c.Agent, c.Model, named(c.Run, "-"), named(c.Step, "-"), amount.Thousands(c.Usage.OutputTokens), dollars(rows[i].CostUSD), amount.Seconds(serviceTime(c).Seconds()), amount.Seconds(c.Waited.Seconds()),
				})
				s.bars = append(s.bars, serviceTime(c).Seconds())
			}
			return &report{title: "Slowest calls", sections: []section{s}}, rows, nil
		},
	})
}

// serviceTime returns how long the service took for a call; where that is not
// known, how long the call took in all.
func serviceTime(c *analytics.Call) time.Duration {
	if c.Service > 0 {
		return c.Service
	}
	return max(c.Duration-c.Waited, 0)
}

func (a *app) analyticsFailures() *cobra.Command {
	type failureJSON struct {
		Agent   string            `json:"agent"`
		Model   string            `json:"model"`
		Outcome string            `json:"outcome"`
		Count   int64             `json:"count"`
		Last    analytics.CallRow `json:"last"`
	}
	return a.reportVerb(reportVerb{
		use: "failures", rows: singleCalls, short: "The calls that failed, by agent, model and reason",
		example: `  claude-force analytics failures --days 1`,
		make: func(ctx context.Context, store analytics.Store, f analytics.Filter) (*report, any, error) {
			failures, err := store.Failures(ctx, f)
			if err != nil {
				return nil, nil, err
			}
			known, err := knownProjects(ctx, store)
			if err != nil {
				return nil, nil, err
			}
			s := section{columns: append(words("AGENT", "MODEL", "REASON", "LAST", "RUN"), numbers("COUNT")...), bars: []float64{}, empty: "No call failed in this period."}
			list := make([]failureJSON, len(failures))
			for i := range failures {
				x := &failures[i]
				list[i] = failureJSON{x.Agent, x.Model, x.Code.String(), x.Count, rowOf(&x.Last, known)}
				s.rows = append(s.rows, []string{x.Agent, x.Model, x.Code.String(), x.Last.Time.In(f.In()).Format(shortTime), named(x.Last.Run, "-"), amount.Thousands(int(x.Count))})
				s.bars = append(s.bars, float64(x.Count))
			}
			return &report{title: "Failures", sections: []section{s}}, list, nil
		},
	})
}
