package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/internal/amount"
	"github.com/claude-force/claude-force/internal/csvtext"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
)

func (a *app) runs() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "runs",
		Short: "List, show, steer and resume runs of workflows",
		Long: `Every run of a workflow is recorded as it happens. These commands show runs,
answer their questions, stop them and resume those that were stopped,
failed or crashed.

An id may be abbreviated to its first characters, with or without "run_";
"latest" is the run that was started last.

With --server they are about the runs of a server ("claude-force serve"), whose
key is in the environment variable CLAUDE_FORCE_SERVER_KEY; a server of this
machine and data folder needs none.`,
		Example: `  claude-force runs list
  claude-force --server https://force.example.com runs show latest`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		a.runsList(), a.runsShow(), a.runsWatch(), a.runsLogs(), a.runsOutput(), a.runsReport(), a.runsFailed(), a.runsResume(),
		a.runsCancel(), a.runsApprove(), a.runsReject(), a.runsDiff(), a.runsApply(), a.runsExport(), a.runsRemove(), a.runsPrune(),
	)
	for _, sub := range cmd.Commands() {
		if sub.Name() != "apply" { // the folder is on this machine
			withServer(sub)
		}
	}
	return cmd
}

// withHistory runs do with the store of runs that is configured, or with that of a server.
func (a *app) withHistory(ctx context.Context, do func(journal.Store) error) error {
	if a.server != "" {
		c, err := a.connect()
		if err != nil {
			return err
		}
		return do(c.History())
	}
	cfg, err := a.settings()
	if err != nil {
		return err
	}
	store, err := claudeforce.OpenHistory(ctx, cfg)
	if err != nil {
		return err
	}
	return storeError(closing(do(store), store))
}

// completeRun completes the first argument to the id of a run.
func (a *app) completeRun(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	return a.completeRuns(1)(cmd, args, typed)
}

// completeRuns completes so many arguments to ids of runs.
func (a *app) completeRuns(most int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.runNames(cmd)
	}
}

// runNames returns the ids of the latest runs, with what tells them apart.
func (a *app) runNames(cmd *cobra.Command) ([]string, cobra.ShellCompDirective) {
	names := []string{journal.Latest}
	err := a.withHistory(cmd.Context(), func(store journal.Store) error {
		for run, err := range store.Runs(cmd.Context(), journal.Filter{Limit: 50}) {
			if err != nil {
				return err
			}
			names = append(names, fmt.Sprintf("%s\t%s, %s, %s ago", run.ID, runs.Name(run), string(runs.StatusOf(run)), age(run.StartedAt)))
		}
		return nil
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) runsList() *cobra.Command {
	var asJSON, asCSV bool
	var filter journal.Filter
	var statuses []string
	var since string
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List runs, the latest first",
		Long: `List runs, the latest first. The column EXIT has the exit code and the message of
runs that a step ended by an exit; their status is what that step said. KEY is the name
of the key of "claude-force serve" that a run was started with.`,
		Example: `  claude-force runs list
  claude-force runs list --key ci
  claude-force runs list --status failed --status interrupted --since 7d
  claude-force runs list --json | jq -r '.[].run_id'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, s := range statuses {
				if !slices.Contains(runStatuses, s) {
					return badInput("--status %q is none of %s", s, strings.Join(runStatuses, ", "))
				}
				filter.Statuses = append(filter.Statuses, journal.Status(s))
			}
			if filter.Limit < 0 {
				return badInput("--limit %d is below 0; 0 is for all", filter.Limit)
			}
			if since != "" {
				d, err := config.ParseDuration(since)
				if err != nil || d <= 0 {
					return badInput("--since %q is not a duration such as 12h or 7d", since)
				}
				filter.After = time.Now().Add(-d)
			}
			return a.withHistory(cmd.Context(), func(store journal.Store) error {
				list := []journal.Run{}
				for run, err := range store.Runs(cmd.Context(), filter) {
					if err != nil {
						return err
					}
					list = append(list, runs.WithStatus(run))
				}
				switch {
				case asJSON:
					return printJSON(a.stdout, list)
				case asCSV:
					return csvtext.WriteTable(a.stdout, list)
				}
				return a.printRuns(list)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	cmd.Flags().BoolVar(&asCSV, "csv", false, "print CSV")
	cmd.MarkFlagsMutuallyExclusive("json", "csv")
	cmd.Flags().StringVar(&filter.Workflow, "workflow", "", "only runs of the workflow with this name")
	cmd.Flags().StringVar(&filter.StartedBy, "key", "", "only runs that were started with the server's key of this name")
	cmd.Flags().StringArrayVar(&statuses, "status", nil, "only runs of this status: "+strings.Join(runStatuses, ", ")+"; may be repeated")
	cmd.Flags().StringVar(&since, "since", "", "only runs started within this time, such as 12h or 7d")
	cmd.Flags().IntVarP(&filter.Limit, "limit", "n", 50, "at most so many; 0 for all")
	completeFlag(cmd, "status", cobra.FixedCompletions(runStatuses, cobra.ShellCompDirectiveNoFileComp))
	completeFlag(cmd, "key", a.completeKeys)
	return cmd
}

// runStatuses are those that runs can be listed by. One that crashed counts as what
// it did when it crashed.
var runStatuses = []string{
	string(journal.StatusRunning), string(journal.StatusWaiting), string(journal.StatusCompleted),
	string(journal.StatusFailed), string(journal.StatusInterrupted), string(journal.StatusCancelled),
}

// completeFlag sets how the value of a flag is completed, which the command must
// have.
func completeFlag(cmd *cobra.Command, name string, complete cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(name, complete); err != nil {
		panic(err) // a flag of this program
	}
}

func (a *app) printRuns(list []journal.Run) error {
	rows := [][]string{{"RUN", "WORKFLOW", "STATUS", "STEPS", "TOKENS", "COST", "STARTED", "TOOK"}}
	exits := slices.ContainsFunc(list, func(run journal.Run) bool { return run.Exit != nil })
	keys := slices.ContainsFunc(list, func(run journal.Run) bool { return run.StartedBy != "" })
	if keys {
		rows[0] = append(rows[0], "KEY")
	}
	if exits {
		rows[0] = append(rows[0], "EXIT")
	}
	for _, run := range list {
		took := ""
		if !run.FinishedAt.IsZero() {
			took = amount.Seconds(run.FinishedAt.Sub(run.StartedAt).Seconds())
		}
		row := []string{run.ID, firstLine(runs.Name(run), 40), string(runs.StatusOf(run)), amount.Thousands(run.Steps), amount.Thousands(run.Tokens),
			dollars(&run.CostUSD), age(run.StartedAt) + " ago", took}
		if keys {
			row = append(row, orDash(run.StartedBy))
		}
		if exits {
			row = append(row, exitText(run.Exit))
		}
		rows = append(rows, row)
	}
	return table(a.stdout, rows)
}

// exitText returns how a step ended a run as a cell of a table; empty if none did.
func exitText(exit *journal.Exit) string {
	if exit == nil {
		return ""
	}
	return fmt.Sprintf("code %d: %s", exit.Code, strings.ReplaceAll(firstLine(exit.Message, 60), "\t", " "))
}

func (a *app) runsRemove() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:               "rm RUN...",
		Short:             "Forget runs, except those in progress",
		Example:           `  claude-force runs rm run_3fa9 run_77ab`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeRuns(1 << 20),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withHistory(cmd.Context(), func(store journal.Store) error {
				var ids []string
				for _, id := range args {
					run, err := runs.Find(cmd.Context(), store, id)
					if err != nil {
						return err
					}
					if run.Owned() {
						return inputError{fmt.Errorf("%w; cancel it first", run.OwnedError())}
					}
					if !slices.Contains(ids, run.ID) {
						ids = append(ids, run.ID)
					}
				}
				return a.removeRuns(cmd.Context(), store, ids, asJSON)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what was removed as JSON")
	return cmd
}

func (a *app) removeRuns(ctx context.Context, store journal.Store, ids []string, asJSON bool) error {
	n, err := store.Remove(ctx, ids...)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(a.stdout, map[string]int{"runs": n})
	}
	a.say("removed %s", plural(n, "run"))
	return nil
}

func (a *app) runsPrune() *cobra.Command {
	var keep string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Forget old runs",
		Long: `Forget the runs that were started longer ago than --keep. Runs in
progress stay, and so do answers that a run which is kept has too.`,
		Example: `  claude-force runs prune --keep 30d`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := config.ParseDuration(keep)
			if err != nil || d <= 0 {
				return badInput("--keep %q is not a duration such as 72h or 30d", keep)
			}
			return a.withHistory(cmd.Context(), func(store journal.Store) error {
				var ids []string
				for run, err := range store.Runs(cmd.Context(), journal.Filter{Before: time.Now().Add(-d)}) {
					if err != nil {
						return err
					}
					ids = append(ids, run.ID)
				}
				return a.removeRuns(cmd.Context(), store, ids, asJSON)
			})
		},
	}
	cmd.Flags().StringVar(&keep, "keep", "30d", "how long runs are kept, such as 72h or 30d")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what was removed as JSON")
	return cmd
}
