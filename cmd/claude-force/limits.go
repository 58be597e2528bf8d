package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/claude-force/claude-force/internal/amount"
	"github.com/claude-force/claude-force/llm/admission"
)

func (a *app) limitsCommand() *cobra.Command {
	var f callFlags
	cmd := &cobra.Command{
		Use:   "limits",
		Short: "Show the rate limits that were learned, and how full each pool is",
		Long: `Show, for each pool of models that was used, the rate limits of the credential as
the service named them (or as they are assumed until it does), how much of each
is used now, and whether calls wait. All processes of the machine that use the
credential at the same endpoint share what they learn. "limits reset" forgets it.`,
		Example: `  claude-force limits
  claude-force limits --json | jq '.[] | {pool, requests}'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			orch, err := a.open(cmd.Context(), &f)
			if err != nil {
				return err
			}
			return closing(a.printLimits(orch.Limits(), f.json), orch)
		},
	}
	f.registerSimulate(cmd)
	cmd.Flags().BoolVar(&f.json, "json", false, "print a JSON array")
	cmd.AddCommand(a.limitsReset())
	return cmd
}

func (a *app) limitsReset() *cobra.Command {
	var f callFlags
	cmd := &cobra.Command{
		Use:   "reset [POOL]",
		Short: "Forget what was learned of the rate limits, and open closed pools",
		Long: `Forget what was learned of the rate limits of the credential at its endpoint, for
one pool of models or for all. A pool that the service has closed for a while is
open again; the next call learns its limits.`,
		Example: `  claude-force limits reset
  claude-force limits reset sonnet-5.5`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			orch, err := a.open(cmd.Context(), &f)
			if err != nil {
				return err
			}
			pool := strings.Join(args, "")
			reset := orch.ResetLimits(pool)
			switch {
			case len(reset) == 0 && pool != "":
				err = badInput("no pool %q is known; `claude-force limits` shows the pools", pool)
			case f.json:
				err = printJSON(a.stdout, slices.Concat([]string{}, reset))
			case len(reset) == 0:
				a.say("no pool was used yet with this credential")
			default:
				a.say("reset: %s", strings.Join(reset, ", "))
			}
			return closing(err, orch)
		},
	}
	f.registerSimulate(cmd)
	cmd.Flags().BoolVar(&f.json, "json", false, "print the names of the pools as a JSON array")
	return cmd
}

func (a *app) printLimits(pools []admission.PoolStatus, asJSON bool) error {
	if asJSON {
		return printJSON(a.stdout, pools)
	}
	if len(pools) == 0 {
		a.say("no pool was used yet with this credential")
		return nil
	}
	rows := [][]string{{"POOL", "REQUESTS/MIN", "INPUT TOKENS/MIN", "OUTPUT TOKENS/MIN", "STATE"}}
	for _, p := range pools {
		state := "open"
		switch {
		case !p.FrozenUntil.IsZero():
			state = "closed for " + time.Until(p.FrozenUntil).Round(time.Second).String()
			if p.FrozenBy != "" {
				state += " (" + p.FrozenBy + ")"
			}
		case p.Breaker != admission.BreakerClosed:
			state = "breaker " + string(p.Breaker)
		}
		rows = append(rows, []string{p.Pool, quota(p.Requests), quota(p.Input), quota(p.Output), state})
	}
	return table(a.stdout, rows)
}

// quota returns a limit, how much of it is used, and the source it is known from.
func quota(q admission.QuotaStatus) string {
	if q.Limit == 0 {
		return "none known"
	}
	return fmt.Sprintf("%s, %.0f %% used (%s)", amount.Thousands(q.Limit), 100*q.Used(), q.Source)
}
