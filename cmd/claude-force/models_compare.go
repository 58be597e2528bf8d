package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"
	"github.com/spf13/cobra"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/internal/amount"
	"github.com/claude-force/claude-force/llm"
)

type compareFlags struct {
	callFlags
	agent  string
	file   string
	tasks  []string
	models []string
	judge  string
	lines  int
}

func (a *app) modelsCompare() *cobra.Command {
	var f compareFlags
	cmd := &cobra.Command{
		Use:   "compare --agent AGENT --task-file FILE --models MODEL,MODEL",
		Short: "Give the same tasks to several models, and compare cost, time and outputs",
		Long: `Give every task to every model, and print what each cost, how long it took and,
side by side, what it answered. Answers are cached as always: asked again, a
comparison costs nothing.

Tasks are given with --task, or in a file as for "execute --file"; a line that
names no agent is for that of --agent. auto is a model too: the one that the
rules choose.

With --judge, a model scores the outputs of each task from 0 to 10, without
knowing whose they are. Its scores are an opinion, and cost extra.

COST is what was paid now; PER 1,000 is what a thousand such tasks cost if none
is answered from before. Times are those of live answers only.`,
		Example: `  claude-force models compare --agent linter --task "Check: x=1" --models haiku,sonnet
  claude-force models compare --agent code-reviewer --task-file tasks.jsonl --models haiku,sonnet,opus
  claude-force models compare --task-file tasks.jsonl --models auto,sonnet --judge opus --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.compareModels(cmd.Context(), &f) },
	}
	f.register(cmd)
	flags := cmd.Flags()
	for _, name := range []string{"model", "auto-select-model"} {
		if err := flags.MarkHidden(name); err != nil {
			panic(err) // registered above
		}
	}
	flags.StringVar(&f.agent, "agent", "", "the agent of tasks that name none")
	flags.StringVar(&f.file, "task-file", "", "file of tasks, one JSON object per line; - for the standard input")
	flags.StringArrayVar(&f.tasks, "task", nil, "a task's text; may be repeated")
	flags.StringSliceVar(&f.models, "models", nil, "models to compare, separated by commas")
	flags.StringVar(&f.judge, "judge", "", "model that scores the outputs")
	flags.IntVar(&f.lines, "lines", 20, "most lines of an output to show; 0 for all")
	return cmd
}

func (a *app) compareModels(ctx context.Context, f *compareFlags) error {
	if f.modelName() != "" {
		return badInput("the models to compare are given with --models")
	}
	if len(f.models) < 2 {
		return badInput("give at least two models, such as --models haiku,sonnet")
	}
	const most = 8 // more columns than anybody reads
	if len(f.models) > most {
		return badInput("at most %d models can be compared at once", most)
	}
	if i := slices.IndexFunc(f.models, func(m string) bool { return count(f.models, m) > 1 }); i >= 0 {
		return badInput("model %s is given twice", f.models[i])
	}
	if f.lines < 0 {
		return badInput("--lines must not be below 0")
	}
	tasks, err := a.comparedTasks(f)
	if err != nil {
		return err
	}
	orch, err := a.open(ctx, &f.callFlags)
	if err != nil {
		return err
	}
	soft, cancel := a.soft(ctx)
	defer cancel()
	done, end := a.counter(len(tasks)*len(f.models), orch.Totals)
	c := orch.CompareModels(soft, tasks, f.models, f.judge, func(*claudeforce.Result) { done() })
	end()
	return closing(a.endComparison(c, f), orch)
}

func count(list []string, value string) int {
	n := 0
	for _, v := range list {
		if v == value {
			n++
		}
	}
	return n
}

// comparedTasks returns the tasks of the flags.
func (a *app) comparedTasks(f *compareFlags) ([]claudeforce.Task, error) {
	var list *taskList
	switch {
	case f.file != "" && len(f.tasks) > 0:
		return nil, badInput("give --task or --task-file, not both")
	case f.file == "" && len(f.tasks) == 0:
		return nil, badInput("no task: give --task or --task-file; see claude-force models compare --help")
	case f.file == "" && f.agent == "":
		return nil, badInput("name the agent of the tasks with --agent")
	case f.file == "-":
		list = &taskList{name: "stdin", reader: a.stdin, agent: f.agent}
	case f.file != "":
		var err error
		if list, err = openTasks(f.file); err != nil {
			return nil, err
		}
		list.agent = f.agent
	default:
		list = &taskList{name: "--task"}
		for i, text := range f.tasks {
			list.given = append(list.given, claudeforce.Task{ID: fmt.Sprint(i + 1), Agent: f.agent, Prompt: text})
		}
	}
	if err := list.check(); err != nil {
		return nil, err
	}
	var tasks []claudeforce.Task
	for t := range list.tasks() {
		t.Policy = f.policy()
		tasks = append(tasks, t)
	}
	if list.err == nil && len(tasks) == 0 {
		return nil, badInput("%s: there is no task in it", list.name)
	}
	return tasks, list.err
}

// endComparison prints a comparison and returns its error.
func (a *app) endComparison(c *claudeforce.ModelComparison, f *compareFlags) error {
	failed, input := 0, error(nil)
	for _, t := range c.Tasks {
		for i, res := range t.Results {
			if res.Err == nil {
				continue
			}
			failed++
			a.say("task %s failed with %s: %v", t.ID, f.models[i], res.Err)
			if _, bad := errors.AsType[*claudeforce.InputError](res.Err); bad {
				input = inputError{errReported}
			}
		}
	}
	var err error
	if f.json {
		err = printJSON(a.stdout, c)
	} else if len(c.Tasks) > 0 {
		err = a.printComparison(c, f.lines)
	}
	switch {
	case err != nil:
		return err
	case a.interrupted():
		return errInterrupted
	case input != nil:
		return input
	case failed > 0:
		return errReported
	}
	return nil
}

func (a *app) printComparison(c *claudeforce.ModelComparison, lines int) error {
	for _, t := range c.Tasks {
		if _, err := fmt.Fprintf(a.stdout, "--- %s · %s · %s\n%s\n", t.ID, t.Agent, firstLine(t.Task, 60), sideBySide(c, t, a.width(), lines)); err != nil {
			return fmt.Errorf("writing the comparison: %w", err)
		}
	}
	head := []string{"MODEL", "TASKS", "FAILED", "CACHED", "COST", "PER 1,000", "P50", "P95", "INPUT", "OUTPUT"}
	if c.Judge != nil {
		head = append(head, "SCORE")
	}
	rows := [][]string{head}
	for _, m := range c.Models {
		row := []string{
			m.Model, amount.Thousands(m.Tasks), amount.Thousands(m.Failed), amount.Thousands(m.Cached), dollars(m.CostUSD), orUnknown(m.PerThousandUSD, func(v float64) string { return dollars(&v) }),
			orUnknown(m.P50Seconds, amount.Seconds), orUnknown(m.P95Seconds, amount.Seconds), amount.Thousands(m.Usage.PromptTokens()), amount.Thousands(m.Usage.OutputTokens),
		}
		if c.Judge != nil {
			row = append(row, orUnknown(m.Score, func(v float64) string { return fmt.Sprintf("%.1f", v) }))
		}
		rows = append(rows, row)
	}
	if err := table(a.stdout, rows); err != nil {
		return err
	}
	if c.Judge != nil {
		a.say("scores are those of %s, from 0 to 10; judging cost %s", c.Judge.Model, dollars(c.Judge.CostUSD))
	}
	return nil
}

func orUnknown(v *float64, text func(float64) string) string {
	if v == nil {
		return "-"
	}
	return text(*v)
}

// narrowest is the least width of a column; what has no room for such columns is
// printed one below the other.
const narrowest = 24

// sideBySide formats the outputs of one task, a column for each model.
func sideBySide(c *claudeforce.ModelComparison, t *claudeforce.ComparedTask, width, lines int) string {
	const gap = " │ "
	n := len(t.Results)
	column := (width - (n-1)*runewidth.StringWidth(gap)) / n
	stacked := column < narrowest
	if stacked {
		column = width
	}
	var columns [][]string
	tallest := 0
	for i, res := range t.Results {
		rows := append([]string{heading(c.Models[i].Model, res)}, outputLines(res, column, lines)...)
		columns = append(columns, rows)
		tallest = max(tallest, len(rows))
	}
	var sb strings.Builder
	if stacked {
		for _, rows := range columns {
			sb.WriteString(strings.Join(rows, "\n") + "\n\n")
		}
		return sb.String()
	}
	for row := range tallest {
		cells := make([]string, n)
		for i, rows := range columns {
			if row < len(rows) {
				cells[i] = runewidth.Truncate(rows[row], column, "…")
			}
			cells[i] = runewidth.FillRight(cells[i], column)
		}
		sb.WriteString(strings.TrimRight(strings.Join(cells, gap), " ") + "\n")
	}
	return sb.String()
}

// heading returns the model of an output, its score, cost and time.
func heading(model string, res *claudeforce.ComparedResult) string {
	text := model
	if res.Score != nil {
		text += fmt.Sprintf(" · %.0f/10", *res.Score)
	}
	if res.Source != "" && res.Source != llm.SourceLive {
		return text + " · " + string(res.Source)
	}
	return text + " · " + dollars(res.CostUSD) + " · " + amount.Seconds(res.DurationSeconds)
}

// outputLines returns an output's lines, broken at spaces to fit a width, at most so
// many of them.
func outputLines(res *claudeforce.ComparedResult, width, most int) []string {
	text := strings.TrimRight(res.Output, "\n")
	if res.Err != nil {
		text = "failed: " + res.Err.Error()
	}
	var lines []string
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\t", "    "), "\n") {
		lines = append(lines, wrap(line, width)...)
	}
	if most > 0 && len(lines) > most {
		more := len(lines) - most
		lines = append(lines[:most], fmt.Sprintf("… %s more", plural(more, "line")))
	}
	return lines
}

// wrap breaks a line at spaces, and words that are longer where they must be.
func wrap(line string, width int) []string {
	var lines []string
	for runewidth.StringWidth(line) > width {
		head := runewidth.Truncate(line, width, "")
		cut := strings.LastIndexByte(head, ' ')
		if cut <= 0 || strings.TrimSpace(head[:cut]) == "" {
			cut = max(len(head), 1)
		}
		lines = append(lines, strings.TrimRight(line[:cut], " "))
		line = strings.TrimLeft(line[cut:], " ")
	}
	return append(lines, line)
}
