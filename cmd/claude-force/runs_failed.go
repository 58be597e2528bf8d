package main

import (
	"strconv"

	"github.com/spf13/cobra"

	"github.com/claude-force/claude-force/runs"
)

func (a *app) runsFailed() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "failed RUN",
		Short: "List what failed in a run, and why",
		Long: `List the steps and items that failed in a run, with the code and the message of
the last error and the number of attempts. Those marked as tolerated did not
stop the run: it went on without them. "claude-force runs resume RUN --failed"
re-runs exactly these.`,
		Example: `  claude-force runs failed latest
  claude-force runs failed latest --json | jq -r '.[].item'`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withRun(cmd.Context(), args[0], func(d *runs.Detail) error {
				failed := d.Failures()
				if asJSON {
					return printJSON(a.stdout, failed)
				}
				if len(failed) == 0 {
					a.say("nothing failed in run %s", d.Run.ID)
					return nil
				}
				rows := [][]string{{"STEP", "ITEM", "CODE", "ATTEMPTS", "TOLERATED", "WHY"}}
				for _, f := range failed {
					tolerated := ""
					if f.Tolerated {
						tolerated = "yes"
					}
					rows = append(rows, []string{f.Step, orDash(f.Item), f.Code, strconv.Itoa(f.Attempts), tolerated, firstLine(f.Message, 160)})
				}
				if err := table(a.stdout, rows); err != nil {
					return err
				}
				a.say("re-run these with: claude-force runs resume %s --failed", d.Run.ID)
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}
