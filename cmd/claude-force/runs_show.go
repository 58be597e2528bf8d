package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/workflow"
)

// withRun runs do with what is known of a run.
func (a *app) withRun(ctx context.Context, id string, do func(*runs.Detail) error) error {
	return a.withHistory(ctx, func(store journal.Store) error {
		d, err := runs.Load(ctx, store, id)
		if err != nil {
			return err
		}
		return do(d)
	})
}

// detailJSON is `runs show --json`.
type detailJSON struct {
	journal.Run
	Params map[string]string `json:"params"`
	Dir    string            `json:"dir"`
	Result *engine.Result    `json:"result"`
}

func (a *app) runsShow() *cobra.Command {
	var asJSON, items bool
	cmd := &cobra.Command{
		Use:   "show RUN",
		Short: "Show a run: its steps over time, with the critical path marked",
		Long: `Show a run: what it was asked, how it stands, and its steps over time. The steps
marked with a star are the critical path: no schedule could have been shorter.`,
		Example: `  claude-force runs show latest
  claude-force runs show run_3fa9 --items
  claude-force runs show latest --json | jq .result.steps`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withRun(cmd.Context(), args[0], func(d *runs.Detail) error {
				if asJSON {
					return printJSON(a.stdout, detailJSON{d.Run, d.Spec.Params, d.Spec.Dir, d.Result})
				}
				return a.showRun(d, items)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	cmd.Flags().BoolVar(&items, "items", false, "show every item of a foreach and every step within a step")
	return cmd
}

func (a *app) showRun(d *runs.Detail, items bool) error {
	head := [][]string{
		{"run", d.Run.ID}, {"workflow", orDash(d.Run.Workflow)}, {"file", orDash(d.Run.File)},
		{"status", string(runs.StatusOf(d.Run))}, {"started", d.Run.StartedAt.Local().Format(time.DateTime)},
		{"took", seconds(d.Result.TotalTimeSeconds)},
		{"cost", dollars(&d.Run.CostUSD) + ", " + thousands(d.Run.Tokens) + " tokens"},
	}
	for _, name := range sortedKeys(d.Spec.Params) {
		head = append(head, []string{"param " + name, firstLine(d.Spec.Params[name], 80)})
	}
	if d.Run.Owner != nil && d.Run.Owner.Alive {
		head = append(head, []string{"worked on by", fmt.Sprintf("process %d on %s", d.Run.Owner.PID, d.Run.Owner.Host)})
	}
	if err := table(a.stdout, head); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout)
	if _, err := fmt.Fprint(a.stdout, gantt(d, items, a.width())); err != nil {
		return err
	}
	if err := a.printModels(d.State.Order); err != nil {
		return err
	}
	for _, u := range d.State.Order {
		switch {
		case u.Type == journal.ApprovalAsked && u.Decision == nil:
			fmt.Fprintf(a.stdout, "\n%s asks: %s\n  claude-force runs approve %s %[1]s\n", u.Step, u.Asked.Message, d.Run.ID)
		case u.Type == journal.StepFailed && u.Item == "":
			fmt.Fprintf(a.stdout, "\n%s failed: %s\n", u.Step, u.Failed.Message)
		}
	}
	if s := runs.StatusOf(d.Run); s == runs.StatusCrashed || s == journal.StatusInterrupted || s == journal.StatusFailed {
		fmt.Fprintf(a.stdout, "\ngo on with: claude-force runs resume %s\n", d.Run.ID)
	}
	return nil
}

// printModels says which models were chosen for steps, and why.
func (a *app) printModels(units []*journal.UnitState) error {
	rows := [][]string{{"STEP", "MODEL", "WHY"}}
	for _, u := range units {
		if u.Finished.ModelReason != "" {
			name := u.Step
			if u.Item != "" {
				name += "[" + runs.ItemLabel(u) + "]"
			}
			rows = append(rows, []string{name, u.Finished.Model, u.Finished.ModelReason})
		}
	}
	if len(rows) == 1 {
		return nil
	}
	fmt.Fprintln(a.stdout)
	return table(a.stdout, rows)
}

// ganttRow is a row of a Gantt chart.
type ganttRow struct {
	name       string
	critical   bool
	status     engine.Status
	start, end time.Time // zero if it never started
	note       string
}

// gantt draws the steps of a run over time. Inner steps and items are summed up
// unless they are asked for.
func gantt(d *runs.Detail, items bool, width int) string {
	rows := bars(d, items)
	var begin, end time.Time
	name, note := 4, 0
	for _, b := range rows {
		name, note = max(name, len([]rune(b.name))), max(note, len([]rune(b.note)))
		if b.start.IsZero() {
			continue
		}
		if begin.IsZero() || b.start.Before(begin) {
			begin = b.start
		}
		if b.end.After(end) {
			end = b.end
		}
	}
	name = min(name, 40)
	space := max(width-name-note-5, 10)
	span := max(end.Sub(begin), time.Millisecond)
	at := func(t time.Time) int { return int(float64(t.Sub(begin)) / float64(span) * float64(space)) }
	var sb strings.Builder
	took := seconds(span.Seconds())
	fmt.Fprintf(&sb, "%-*s  0%*s\n", name+2, "", space-1, took)
	for _, b := range rows {
		mark := " "
		if b.critical {
			mark = "*"
		}
		line := strings.Repeat(" ", space)
		if !b.start.IsZero() {
			from := min(at(b.start), space-1)
			to := min(max(at(b.end), from+1), space)
			line = strings.Repeat("·", from) + strings.Repeat(block(b.status), to-from) + strings.Repeat(" ", space-to)
		}
		fmt.Fprintf(&sb, "%s %-*s  %s  %s\n", mark, name, firstLine(b.name, name), line, b.note)
	}
	return sb.String()
}

// block returns how a bar of this status is drawn.
func block(s engine.Status) string {
	switch s {
	case engine.StatusCompleted:
		return "█"
	case engine.StatusFailed:
		return "x"
	}
	return "░"
}

// bars returns the rows of a run's chart: the steps in file order, below each what
// is within it if asked for.
func bars(d *runs.Detail, items bool) []ganttRow {
	critical := map[string]bool{}
	path, _ := d.Workflow.CriticalPath(func(s *workflow.Step) time.Duration {
		return time.Duration(d.Result.Steps[s.ID].DurationSeconds * float64(time.Second))
	})
	for _, id := range path {
		critical[id] = d.Result.Steps[id].StartedAt != nil
	}
	now := time.Now()
	var rows []ganttRow
	for _, s := range d.Workflow.Steps {
		res := d.Result.Steps[s.ID]
		rows = append(rows, barOf(s.ID, res, critical[s.ID], now))
		if items {
			rows = append(rows, inner(res, "  ", now)...)
		}
	}
	return rows
}

// inner returns the rows of what is within a step.
func inner(res *engine.StepResult, indent string, now time.Time) []ganttRow {
	var rows []ganttRow
	for _, item := range res.Items {
		rows = append(rows, barOf(indent+"["+item.Item+"]", item.StepResult, false, now))
		rows = append(rows, inner(item.StepResult, indent+"  ", now)...)
	}
	for _, id := range sortedKeys(res.Steps) {
		rows = append(rows, barOf(indent+id, res.Steps[id], false, now))
		rows = append(rows, inner(res.Steps[id], indent+"  ", now)...)
	}
	return rows
}

func barOf(name string, res *engine.StepResult, critical bool, now time.Time) ganttRow {
	b := ganttRow{name: name, critical: critical, status: res.Status, note: string(res.Status)}
	if res.StartedAt != nil {
		b.start = *res.StartedAt
		b.end = b.start.Add(time.Duration(res.DurationSeconds * float64(time.Second)))
		if res.DurationSeconds == 0 && res.Status == engine.StatusInterrupted {
			b.end = now
		}
	}
	if res.Status == engine.StatusCompleted {
		b.note = seconds(res.DurationSeconds) + " · " + dollars(res.CostUSD)
		if res.Source != "" {
			b.note = seconds(res.DurationSeconds) + " · " + string(res.Source) + " · " + dollars(res.CostUSD)
		}
	}
	if n := len(res.Items); n > 0 {
		done := 0
		for _, item := range res.Items {
			if item.Status == engine.StatusCompleted {
				done++
			}
		}
		b.note += fmt.Sprintf(" · %d/%d items", done, n)
	}
	return b
}

func (a *app) runsOutput() *cobra.Command {
	var step, item string
	var all, asJSON bool
	cmd := &cobra.Command{
		Use:   "output RUN",
		Short: "Print the outputs of a run as `run` does",
		Example: `  claude-force runs output latest
  claude-force runs output latest --step linter
  claude-force runs output latest --step review --item src/a.go
  claude-force runs output latest --json | jq -r .output`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			if item != "" && step == "" {
				return badInput("--item needs --step, the foreach that it is an item of")
			}
			return a.withRun(cmd.Context(), args[0], func(d *runs.Detail) error {
				if step == "" && asJSON {
					return printJSON(a.stdout, d.Result)
				}
				if step == "" {
					return a.printOutputs(d.Workflow, d.Result, all)
				}
				res, err := findStep(d.Result, step, item)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(a.stdout, res)
				}
				_, err = fmt.Fprintln(a.stdout, strings.TrimRight(res.Output, "\n"))
				return err
			})
		},
	}
	cmd.Flags().StringVar(&step, "step", "", "the output of this step; of one within a step as OUTER/INNER")
	cmd.Flags().StringVar(&item, "item", "", "with --step: of this item of a foreach, by its name or key")
	cmd.Flags().BoolVar(&all, "all", false, "the outputs of all steps")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON, as \"run --json\" does; with --step that of the step")
	completeFlag(cmd, "step", a.completeSteps)
	return cmd
}

// findStep returns the result of a step, or of one within it, or of an item.
func findStep(res *engine.Result, path, item string) (*engine.StepResult, error) {
	steps := res.Steps
	var found *engine.StepResult
	for part := range (journal.Unit{Step: path}).Parts() {
		id := part.ID
		if found != nil && len(steps) == 0 {
			return nil, badInput("step %q: the step around %q has no steps of its own", path, id)
		}
		var ok bool
		if found, ok = steps[id]; !ok {
			return nil, badInput("there is no step %q here; there are: %s", id, strings.Join(sortedKeys(steps), ", "))
		}
		steps = found.Steps
	}
	if item == "" {
		return found, nil
	}
	i := slices.IndexFunc(found.Items, func(it *engine.ItemResult) bool { return it.Item == item || strings.HasPrefix(it.Key, item) })
	if i < 0 {
		return nil, badInput("step %s has no item %q; `claude-force runs show --items` lists them", path, item)
	}
	return found.Items[i].StepResult, nil
}

// completeSteps completes to the steps of the run that was named.
func (a *app) completeSteps(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var names []string
	if len(args) > 0 {
		// Without the run there is nothing to offer.
		_ = a.withRun(cmd.Context(), args[0], func(d *runs.Detail) error {
			names = sortedKeys(d.Result.Steps)
			return nil
		})
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) runsExport() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "export RUN",
		Short: "Print all of a run as JSON: what it was asked, its events and its result",
		Example: `  claude-force runs export latest > run.json
  claude-force runs export latest | jq '.events[] | select(.type == "step_failed")'`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withHistory(cmd.Context(), func(store journal.Store) error {
				d, err := runs.Load(cmd.Context(), store, args[0])
				if err != nil {
					return err
				}
				whole := struct {
					Run    journal.Run     `json:"run"`
					Spec   *runs.Spec      `json:"spec"`
					Events []journal.Event `json:"events"`
					Result *engine.Result  `json:"result"`
				}{Run: d.Run, Spec: d.Spec, Result: d.Result}
				for ev, err := range store.Events(cmd.Context(), d.Run.ID, 0) {
					if err != nil {
						return err
					}
					whole.Events = append(whole.Events, ev)
				}
				if output == "" {
					return printJSON(a.stdout, whole)
				}
				f, err := os.OpenFile(output, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
				if err != nil {
					return inputError{err}
				}
				return closing(printJSON(f, whole), f)
			})
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "write into this file instead of the standard output")
	return cmd
}
