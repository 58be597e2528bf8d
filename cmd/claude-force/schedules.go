package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/claude-force/claude-force/client"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/schedule"
)

func (a *app) schedules() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "schedules",
		Short: "Start runs of workflows at fixed times",
		Long: `Manage the schedules of the project in this folder: at which times which workflow
runs. "claude-force serve", started in the same folder, starts the runs.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.schedulesAdd(), a.schedulesList(), a.schedulesRun(),
		a.schedulesChange("remove", "Remove a schedule", "Remove a schedule. Its runs continue, and stay.", "removed", timetable.RemoveSchedule),
		a.schedulesChange("pause", "Start no runs of a schedule until it is resumed", "Start no runs of a schedule until it is resumed. A run that has started continues.", "paused", timetable.PauseSchedule),
		a.schedulesChange("resume", "Start runs of a paused schedule again", "Start runs of a paused schedule again. The times that passed meanwhile are not made up for.", "resumed", timetable.ResumeSchedule),
	)
	withServer(cmd.Commands()...)
	return cmd
}

func (a *app) schedulesAdd() *cobra.Command {
	var f struct {
		params          paramFlags
		cron, zone      string
		overlap, missed string
		window, model   string
		budget          float64
		json            bool
	}
	cmd := &cobra.Command{
		Use:   "add NAME WORKFLOW",
		Short: "Run a workflow at times that a cron expression gives",
		Long: `Run a workflow, by its file or its name, at times that a cron expression gives:
minute, hour, day of the month, month and day of the week, or @hourly, @daily, @weekly,
@monthly. The file is read when a run starts.

While the last run of the schedule has not ended, a tick is skipped; with --overlap
queue it waits, with allow it starts another run. Of the ticks that passed while no
server ran, the latest starts a run if it is not older than --window; with --catch-up
all each does, with none none does.`,
		Example: `  claude-force schedules add nightly review.yaml --cron "30 2 * * 1-5" --time-zone Europe/Berlin
  claude-force schedules add hourly report --cron @hourly --param topic=bees --budget 0.50 --catch-up none`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.cron == "" {
				return badInput("--cron is missing: minute, hour, day of the month, month and day of the week, as in 30 2 * * 1-5")
			}
			params, err := a.params(&f.params, false)
			if err != nil {
				return err
			}
			window, err := config.ParseDuration(f.window)
			if err == nil {
				err = schedule.CheckWindow(window)
			}
			if err != nil {
				return badInput("--window: %w", err)
			}
			return a.withSchedules(func(times timetable) error {
				add := client.AddSchedule{
					Name: args[0], Workflow: args[1], Params: params, Model: f.model, Cron: f.cron, TimeZone: f.zone, Overlap: f.overlap, CatchUp: f.missed, Window: f.window,
				}
				if cmd.Flags().Changed("budget") {
					add.BudgetUSD = &f.budget
				}
				added, err := times.AddSchedule(cmd.Context(), add)
				if err != nil {
					return scheduleError(args[0], err)
				}
				if f.json {
					return printJSON(a.stdout, added)
				}
				a.say("added; runs start while `claude-force serve` runs in the project's folder, next at %s", nextTick(*added))
				return nil
			})
		},
	}
	f.params.register(cmd.Flags())
	flags := cmd.Flags()
	flags.StringVar(&f.cron, "cron", "", "when: minute, hour, day of the month, month and day of the week")
	flags.StringVar(&f.zone, "time-zone", "UTC", "time zone of the expression, such as Europe/Berlin")
	flags.StringVar(&f.overlap, "overlap", string(schedule.OverlapSkip), "a tick while the last run has not ended: skip, queue or allow")
	flags.StringVar(&f.missed, "catch-up", string(schedule.CatchUpLatest), "ticks that passed while no server ran: none, latest or all")
	flags.StringVar(&f.window, "window", "1d", "how late a tick may start a run")
	flags.StringVar(&f.model, "model", "", "model of every step")
	flags.Float64Var(&f.budget, "budget", 0, "most US dollars of each run")
	flags.BoolVar(&f.json, "json", false, "print a JSON object")
	completeFlag(cmd, "overlap", cobra.FixedCompletions([]string{"skip", "queue", "allow"}, cobra.ShellCompDirectiveNoFileComp))
	completeFlag(cmd, "catch-up", cobra.FixedCompletions([]string{"none", "latest", "all"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (a *app) schedulesList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the schedules of this project",
		Long: `List the schedules of the project in this folder, with the next ticks and the latest
run of each.`,
		Example: `  claude-force schedules list
  claude-force schedules list --json | jq -r '.[] | select(.last_problem) | .name'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withSchedules(func(times timetable) error {
				views, err := times.Schedules(cmd.Context())
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(a.stdout, views)
				}
				if len(views) == 0 {
					a.say("this project has no schedules")
					return nil
				}
				rows := [][]string{{"NAME", "WORKFLOW", "WHEN", "NEXT", "LAST RUN"}}
				for _, v := range views {
					last := cmp.Or(v.LastRun, "none yet")
					if v.Problem != "" {
						last = "not started: " + firstLine(v.Problem, 100)
					}
					rows = append(rows, []string{v.Name, v.Workflow, v.Cron + " " + v.Zone, nextTick(v), last})
				}
				return table(a.stdout, rows)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

// nextTick returns when a schedule's next tick is, in its time zone.
func nextTick(v schedule.View) string {
	if len(v.Next) == 0 {
		return "paused"
	}
	zone, err := time.LoadLocation(v.Zone)
	if err != nil {
		zone = time.UTC
	}
	return v.Next[0].In(zone).Format("2006-01-02 15:04 MST")
}

// schedulesChange returns a command that does something to one schedule.
func (a *app) schedulesChange(verb, short, long, done string, do func(times timetable, ctx context.Context, name string) error) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     verb + " NAME",
		Short:   short,
		Long:    long,
		Example: "  claude-force schedules " + verb + " nightly",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withSchedules(func(times timetable) error {
				if err := do(times, cmd.Context(), args[0]); err != nil {
					return scheduleError(args[0], err)
				}
				if asJSON {
					return printJSON(a.stdout, map[string]string{"name": args[0], "action": done})
				}
				a.say("%s: %s", done, args[0])
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

func (a *app) schedulesRun() *cobra.Command {
	var f callFlags
	cmd := &cobra.Command{
		Use:   "run NAME",
		Short: "Start a run of a schedule now",
		Long: `Start a run of a schedule now, in a process of its own, and print its id. It is none of
a tick: it starts also while the schedule is paused or its last run has not ended, and
changes neither.`,
		Example: `  claude-force schedules run nightly
  claude-force runs watch "$(claude-force schedules run nightly)"`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range ofRuns {
				if name != "json" && f.given(name) {
					return badInput("--%s is for `claude-force run`; a schedule has its own, as it was added", name)
				}
			}
			if err := f.askDurably(); err != nil {
				return err
			}
			if a.server != "" {
				var unknown string
				cmd.Flags().Visit(func(flag *pflag.Flag) {
					if !slices.Contains([]string{"server", "json", "data-dir"}, flag.Name) {
						unknown = flag.Name
					}
				})
				if unknown != "" {
					return badInput("--%s is for runs on this machine; the server's settings are as it was started", unknown)
				}
			}
			return a.withSchedules(func(times timetable) error {
				if local, ok := times.(*localSchedules); ok {
					local.flags = &f
				}
				run, err := times.RunSchedule(cmd.Context(), args[0], "")
				if err != nil {
					return scheduleError(args[0], err)
				}
				if f.json {
					return printJSON(a.stdout, map[string]string{"run_id": run.ID})
				}
				_, err = fmt.Fprintln(a.stdout, run.ID)
				return err
			})
		},
	}
	registerServing(cmd, &f)
	cmd.Flags().Lookup("json").Hidden = false
	return cmd
}

// scheduleError returns an error of schedules, as the user's own if it is.
func scheduleError(name string, err error) error {
	if p, ok := errors.AsType[*client.Error](err); ok {
		switch p.Detail {
		case schedule.ErrNotFound.Error():
			err = schedule.ErrNotFound
		case schedule.ErrExists.Error():
			err = schedule.ErrExists
		}
	}
	switch {
	case errors.Is(err, schedule.ErrNotFound):
		return badInput("%w %q in the project; `claude-force schedules list` lists them", err, name)
	case errors.Is(err, schedule.ErrExists):
		return badInput("%w, %q; remove it first", err, name)
	}
	return err
}
