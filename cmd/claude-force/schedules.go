package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/schedule"
	"github.com/claude-force/claude-force/schedule/scheduledb"
	"github.com/claude-force/claude-force/workflow"
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
	cmd.AddCommand(a.schedulesAdd(), a.schedulesList(),
		a.schedulesChange("remove", "Remove a schedule", "Remove a schedule. Its runs continue, and stay.", "removed", schedule.Store.Remove),
		a.schedulesChange("pause", "Start no runs of a schedule until it is resumed", "Start no runs of a schedule until it is resumed. A run that has started continues.", "paused",
			func(store schedule.Store, ctx context.Context, dir, name string) error {
				return store.SetPaused(ctx, dir, name, true, time.Now())
			}),
		a.schedulesChange("resume", "Start runs of a paused schedule again", "Start runs of a paused schedule again. The times that passed meanwhile are not made up for.", "resumed",
			func(store schedule.Store, ctx context.Context, dir, name string) error {
				return store.SetPaused(ctx, dir, name, false, time.Now())
			}),
	)
	return cmd
}

// withSchedules calls do with the store of schedules and the folder of the project.
func (a *app) withSchedules(do func(store schedule.Store, dir string) error) (err error) {
	cfg, err := a.settings()
	if err != nil {
		return err
	}
	dir, err := filepath.Abs("")
	if err != nil {
		return err
	}
	store := scheduledb.New(pipeline.DataDir(cfg.DataDir).Schedules())
	defer func() { err = errors.Join(err, store.Close()) }()
	return do(store, dir)
}

func (a *app) schedulesAdd() *cobra.Command {
	var f struct {
		callFlags
		params          paramFlags
		cron, zone      string
		overlap, missed string
		window, model   string
		budget          float64
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
			params, err := a.params(&f.params, false)
			if err != nil {
				return err
			}
			return a.withSchedules(func(store schedule.Store, dir string) error {
				s := &schedule.Schedule{
					ID: strings.ToLower(rand.Text()), Name: args[0], Dir: dir, Workflow: args[1], Params: params, Model: f.model, Cron: f.cron, Zone: f.zone,
					Overlap: schedule.Overlap(f.overlap), CatchUp: schedule.CatchUp(f.missed),
				}
				if cmd.Flags().Changed("budget") {
					s.Budget = &f.budget
				}
				if s.Window, err = config.ParseDuration(f.window); err != nil {
					return badInput("--window: %w", err)
				}
				if err := s.Complete(time.Now()); err != nil {
					return inputError{err}
				}
				if err := a.checkScheduled(cmd.Context(), &f.callFlags, s); err != nil {
					return err
				}
				if err := store.Add(cmd.Context(), s); err != nil {
					return scheduleError(args[0], err)
				}
				if f.json {
					return printJSON(a.stdout, s.View(time.Now()))
				}
				a.say("added; runs start while `claude-force serve` runs in this folder, next at %s", nextTick(s.View(time.Now())))
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
	if err := cmd.MarkFlagRequired("cron"); err != nil {
		panic(err) // the flag is above
	}
	return cmd
}

// checkScheduled finds what is wrong with the workflow of a schedule now, not at night.
func (a *app) checkScheduled(ctx context.Context, f *callFlags, s *schedule.Schedule) error {
	if !workflow.IsName(s.Workflow) && !filepath.IsLocal(s.Workflow) {
		return badInput("%s is neither a file below this folder nor a name: the server runs what is in its project", s.Workflow)
	}
	orch, err := a.openIn(ctx, f, claudeforce.Options{KeyOptional: true})
	if err != nil {
		return err
	}
	wf, err := orch.LoadWorkflow(s.Workflow)
	if err == nil {
		_, err = wf.BindParams(s.Params)
	}
	if err != nil {
		err = inputError{err}
	}
	return closing(err, orch)
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
			return a.withSchedules(func(store schedule.Store, dir string) error {
				list, err := store.List(cmd.Context(), dir)
				if err != nil {
					return err
				}
				views := []schedule.View{}
				for i := range list {
					views = append(views, list[i].View(time.Now()))
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
func (a *app) schedulesChange(verb, short, long, done string, do func(store schedule.Store, ctx context.Context, dir, name string) error) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     verb + " NAME",
		Short:   short,
		Long:    long,
		Example: "  claude-force schedules " + verb + " nightly",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withSchedules(func(store schedule.Store, dir string) error {
				if err := do(store, cmd.Context(), dir, args[0]); err != nil {
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

// scheduleError returns an error of the store of schedules, as the user's own if it is.
func scheduleError(name string, err error) error {
	switch {
	case errors.Is(err, schedule.ErrNotFound):
		return badInput("%w %q in this folder; `claude-force schedules list` lists them", err, name)
	case errors.Is(err, schedule.ErrExists):
		return badInput("%w, %q; remove it first", err, name)
	}
	return err
}
