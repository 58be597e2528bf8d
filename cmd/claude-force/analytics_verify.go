package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/audit"
	"github.com/claude-force/claude-force/internal/amount"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/pipeline"
)

// maxProblems is how many problems of a check are printed.
const maxProblems = 10

func (a *app) analyticsVerify() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check that all figures about money agree, to the billionth of a dollar",
		Long: `Add up every attempt that was sent and compare the sum with those of calls, days
and runs, with the journals of runs and with the ledger of budgets. Each is
written by another part of the program at another moment. Also compare the sums of
what agents did with tools with the single calls and tasks. The exit code is 1 if
any two that must be equal are not.`,
		Example: `  claude-force analytics verify
  claude-force analytics verify --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := a.verify(cmd)
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(a.stdout, report)
			} else {
				err = a.printReport(report)
			}
			if err == nil && !report.OK() {
				err = errReported
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what was compared as JSON")
	return cmd
}

// verify compares the stores of the data folder.
func (a *app) verify(cmd *cobra.Command) (report *audit.Report, err error) {
	cfg, err := a.settings()
	if err != nil {
		return nil, err
	}
	runs, err := claudeforce.OpenHistory(cmd.Context(), cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, runs.Close()) }()
	stores := audit.Stores{Runs: runs}
	if _, statErr := os.Stat(pipeline.DataDir(cfg.DataDir).Budget()); statErr == nil || cfg.Store != "" {
		ledger, err := pipeline.OpenLedger(cfg)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, ledger.Close()) }()
		stores.Ledger = ledger.Balances
	}
	stores.Calls = func(ctx context.Context) (analytics.Store, error) { return pipeline.OpenCalls(ctx, cfg) }
	ctx, cancel := a.soft(cmd.Context())
	defer cancel()
	if report, err = audit.Verify(ctx, stores); err != nil && a.interrupted() {
		return nil, errInterrupted
	}
	return report, err
}

func (a *app) printReport(r *audit.Report) error {
	for _, c := range r.Checks {
		verdict := "ok"
		if len(c.Problems) > 0 {
			verdict = fmt.Sprintf("%d differ", len(c.Problems))
		}
		if _, err := fmt.Fprintf(a.stdout, "%-55s %s compared, %s\n", c.Name, amount.Thousands(c.Compared), verdict); err != nil {
			return err
		}
		for i, p := range c.Problems {
			if i == maxProblems {
				fmt.Fprintf(a.stdout, "  and %d more\n", len(c.Problems)-i)
				break
			}
			figures := cmp.Or(p.Detail, fmt.Sprintf("%v and %v", llm.Dollars(p.First), llm.Dollars(p.Other)))
			fmt.Fprintf(a.stdout, "  %s: %s\n", p.What, figures)
		}
		for i, p := range c.Pending {
			if i == maxProblems {
				fmt.Fprintf(a.stdout, "  and %d more that were cut off\n", len(c.Pending)-i)
				break
			}
			fmt.Fprintf(a.stdout, "  %s: %v counted of %v; it was cut off, and runs resume counts the rest\n", p.What, llm.Dollars(p.First), llm.Dollars(p.Other))
		}
		if c.Note != "" {
			fmt.Fprintf(a.stdout, "  note: %s\n", c.Note)
		}
	}
	uncertain := ""
	if r.UncertainUSD > 0 {
		uncertain = fmt.Sprintf("; up to %v more may have been billed for attempts that broke off or whose process was killed", llm.Dollars(r.UncertainUSD))
	}
	_, err := fmt.Fprintf(a.stdout, "%s with %s; all calls that are kept cost %v%s\n", plural(r.Calls, "call"), plural(r.Attempts, "attempt"), llm.Dollars(r.CostUSD), uncertain)
	return err
}
